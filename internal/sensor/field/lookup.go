package field

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// NotFoundError is returned by Lookup for a name that the catalogue does not
// have.
type NotFoundError struct{ Name string }

// Error uses Falco's words: tools, and skip-if-unknown-filter, look for them.
func (e *NotFoundError) Error() string {
	return "filter_check called with nonexistent field " + e.Name
}

// Catalogue is the fields that events of one source have.
type Catalogue struct {
	all    []*Field
	byName map[string]*Field
}

var (
	Syscall = collect(
		genericFields(), eventFields(), argFields(), openFields(),
		processFields(), ancestorFields(), groupLeaderFields(), executableFields(), procfsFields(), threadFields(),
		userFields(), fdFields(), socketFields(), fspathFields(), fdlistFields(),
		containerFields(), k8sFields(), k8smetaFields(), staticFields(), hiddenFields(),
	)
	K8sAudit = collect(
		genericFields(), auditFields(), auditPodFields(), auditObjectFields(), auditListFields(), jsonFields(), staticFields(),
	)
)

// The names of the sources.
const (
	SyscallSource  = "syscall"
	K8sAuditSource = "k8s_audit"
)

// Of returns the catalogue of a source; nil for one that there is not.
func Of(source string) *Catalogue {
	switch source {
	case SyscallSource:
		return Syscall
	case K8sAuditSource:
		return K8sAudit
	}
	return nil
}

// All returns the fields of all sources without hidden ones, in the order in
// which they are listed: by class, then as the class defines them.
func All() []*Field {
	all := Syscall.All()
	for _, f := range K8sAudit.All() {
		if Syscall.byName[f.Name] == nil {
			all = append(all, f)
		}
	}
	sortByClass(all)
	return all
}

// All returns the fields without hidden ones, in the order in which they are
// listed. The result is the caller's.
func (c *Catalogue) All() []*Field {
	return slices.DeleteFunc(slices.Clone(c.all), func(f *Field) bool { return f.Flags&Hidden != 0 })
}

// Sources are the sources whose events have the field.
func (f *Field) Sources() []string {
	var sources []string
	for _, source := range []string{SyscallSource, K8sAuditSource} {
		if Of(source).byName[f.Name] != nil {
			sources = append(sources, source)
		}
	}
	return sources
}

// Lookup finds a field of syscalls.
func Lookup(text string) (*Field, Extractor, error) { return Syscall.Lookup(text) }

// Lookup finds the field that text names, argument included, and binds its
// getter: "proc.name", "proc.aname[2]", "evt.arg.flags", "evt.arg[0]".
func (c *Catalogue) Lookup(text string) (*Field, Extractor, error) {
	f, arg, has := c.split(text)
	if f == nil {
		return nil, Extractor{}, &NotFoundError{text}
	}
	switch {
	case has && f.Arg == NoArg:
		return nil, Extractor{}, fmt.Errorf("field %s takes no argument, but has [%s]", f.Name, arg)
	case !has && f.Arg == ArgRequired:
		return nil, Extractor{}, fmt.Errorf("field %s requires an argument, as in %s[...]", f.Name, f.Name)
	}
	x, err := f.Bind(arg)
	if err != nil {
		return nil, Extractor{}, fmt.Errorf("field %s: %w", text, err)
	}
	return f, x, nil
}

// split finds the longest name of a field that text starts with, such that
// only an argument follows: in brackets, or after a dot where the field allows
// that.
func (c *Catalogue) split(text string) (f *Field, arg string, has bool) {
	if i := strings.IndexByte(text, '['); i >= 0 && strings.HasSuffix(text, "]") {
		if f := c.byName[text[:i]]; f != nil {
			return f, unquote(text[i+1 : len(text)-1]), true
		}
	}
	for name := text; name != ""; {
		if f := c.byName[name]; f != nil {
			switch {
			case name == text:
				return f, "", false
			case f.dotted:
				return f, text[len(name)+1:], true
			}
			return nil, "", false
		}
		i := strings.LastIndexByte(name, '.')
		if i < 0 {
			break
		}
		name = name[:i]
	}
	return nil, "", false
}

func unquote(s string) string {
	if n := len(s); n >= 2 && (s[0] == '"' || s[0] == '\'') && s[n-1] == s[0] {
		return s[1 : n-1]
	}
	return s
}

func collect(classes ...[]Field) *Catalogue {
	c := &Catalogue{byName: make(map[string]*Field)}
	for _, class := range classes {
		for i := range class {
			f := &class[i]
			if c.byName[f.Name] != nil {
				panic("field: " + f.Name + " is defined twice")
			}
			c.all = append(c.all, f)
			c.byName[f.Name] = f
		}
	}
	sortByClass(c.all)
	return c
}

func sortByClass(fields []*Field) {
	slices.SortStableFunc(fields, func(a, b *Field) int { return classRank(a.Name) - classRank(b.Name) })
}

// classes are the first parts of fields' names, in the order of the listing.
var classes = []string{"evt", "syscall", "proc", "thread", "user", "group", "fd", "fs", "fdlist", "container", "k8s", "k8smeta", "ka", "jevt", "json", "static"}

func classRank(name string) int {
	class, _, _ := strings.Cut(name, ".")
	return slices.Index(classes, class)
}

// index parses the argument of fields that count something.
func index(arg string) (int, error) {
	n, err := strconv.ParseUint(arg, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("argument %q: expected a number", arg)
	}
	return int(n), nil
}
