package plan

import (
	"slices"
	"strconv"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
)

// coveredFields are the facts that the probe compares of two execs, besides those
// that a container's runtime tells, which stay until it tells others. Names of
// users stay until their files change. Numbers of processes and times are not
// among them: no two processes have the same.
var coveredFields = []string{
	"proc.name", "proc.exe", "proc.exepath", "proc.tty", "proc.exe_ino", "proc.exe_ino.ctime", "proc.exe_ino.mtime",
	"proc.is_exe_writable", "proc.is_exe_upper_layer", "proc.is_exe_lower_layer", "proc.is_exe_from_memfd",
	"user.uid", "user.loginuid", "group.gid", "user.name", "user.homedir", "user.shell", "user.loginname", "group.name",
	"thread.cap_permitted", "thread.cap_inheritable", "thread.cap_effective", "thread.cgroups", "thread.cgroup",
	"proc.pname", "proc.aname", "container.id", "container.full_id",
}

// ExecArgsMax is the length of the arguments, argv[0] among them and with their NULs,
// above which the probe sends every exec.
const ExecArgsMax = 2048

// covered says whether a check compares covered fields, and constants, alone.
func covered(c *filter.Check) bool {
	return !anyField(c, func(f *filter.Field) bool {
		return !f.Metadata && !slices.Contains(coveredFields, f.Name) && !strings.HasPrefix(f.Name, "thread.cgroup.")
	})
}

// textFields are made of the texts of an exec, byte by byte. Where these stand one
// after the other, there is a blank.
var textFields = []string{"proc.args", "proc.cmdline", "proc.exeline", "proc.env", "proc.cwd"}

// textParts are texts of which one occurs in those of every exec for which a check
// is true, however it is written; false if that can be true without.
func textParts(c *filter.Check) (parts []string, ok bool) {
	if isLonger(c) {
		return nil, true
	}
	f := folded(c.Left)
	if f == nil || c.Right != nil || !slices.Contains(textFields, f.Name) {
		return nil, false
	}
	for _, v := range c.Values {
		part := textPart(f.Name, c.Op, v.Text)
		if part == "" {
			return nil, false
		}
		parts = append(parts, part)
	}
	return parts, len(parts) > 0 || c.Op == filter.In || c.Op == filter.Intersects
}

// isLonger says whether a check is true only of arguments that are longer than those
// of execs that are left out.
func isLonger(c *filter.Check) bool {
	t, ok := c.Left.(*filter.Transform)
	if !ok || t.Name != "len" || len(t.Args) != 1 || c.Right != nil || c.Modifier != filter.NoModifier || len(c.Values) != 1 {
		return false
	}
	f := folded(t.Args[0])
	if f == nil || !slices.Contains([]string{"proc.args", "proc.cmdline", "proc.exeline"}, f.Name) {
		return false
	}
	n, err := strconv.ParseUint(c.Values[0].Text, 10, 64)
	const longest = ExecArgsMax + 16 // of the command line: a name, and a blank
	switch c.Op {
	case filter.Eq, filter.EqEq, filter.GreaterEq, filter.In, filter.Intersects:
		return err == nil && n > longest
	case filter.Greater:
		return err == nil && n >= longest
	}
	return false
}

// folded is the field of an operand that changes nothing but the case of letters;
// nil for another operand.
func folded(o filter.Operand) *filter.Field {
	switch o := o.(type) {
	case *filter.Field:
		return o
	case *filter.Transform:
		if (o.Name == "tolower" || o.Name == "toupper") && len(o.Args) == 1 {
			return folded(o.Args[0])
		}
	}
	return nil
}

// maxTextPart bounds the length of a part.
const maxTextPart = 8

// textPart is the start of the longest word that a text has which satisfies an
// operator with value; "" for none.
func textPart(name string, op filter.Op, value string) string {
	between := " \x00"
	switch op {
	case filter.Eq, filter.EqEq, filter.In, filter.Intersects, filter.Contains, filter.IContains, filter.StartsWith, filter.EndsWith:
	case filter.Glob, filter.IGlob, filter.PMatch:
		if op == filter.PMatch { // components are compared, not the slashes between them
			between += "/"
		}
		between += "*?"
		if i := strings.IndexAny(value, `[\`); i >= 0 {
			value = value[:i] // what follows may stand for other bytes
		}
	default:
		return ""
	}
	longest := ""
	for part := range strings.FieldsFuncSeq(value, func(r rune) bool { return strings.ContainsRune(between, r) }) {
		if name == "proc.cwd" { // has a slash at its end, which the kernel's text has not
			part = strings.TrimRight(part, "/")
		}
		if len(part) > len(longest) {
			longest = part
		}
	}
	return lowerCase(longest[:min(len(longest), maxTextPart)])
}

// lowerCase changes ASCII letters only: others may have several bytes.
func lowerCase(s string) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = lower(c)
	}
	return string(b)
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}
