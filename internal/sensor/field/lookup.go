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

// All returns the catalogue without hidden fields, in the order in which it is
// listed: by class, then as the class defines them. The result is the caller's.
func All() []*Field {
	return slices.DeleteFunc(slices.Clone(catalogue.all), func(f *Field) bool { return f.Flags&Hidden != 0 })
}

// Lookup finds the field that text names, argument included, and binds its
// getter: "proc.name", "proc.aname[2]", "evt.arg.flags", "evt.arg[0]".
func Lookup(text string) (*Field, Extractor, error) {
	f, arg, has := split(text)
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
func split(text string) (f *Field, arg string, has bool) {
	if i := strings.IndexByte(text, '['); i >= 0 && strings.HasSuffix(text, "]") {
		if f := catalogue.byName[text[:i]]; f != nil {
			return f, unquote(text[i+1 : len(text)-1]), true
		}
	}
	for name := text; name != ""; {
		if f := catalogue.byName[name]; f != nil {
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

type fields struct {
	all    []*Field
	byName map[string]*Field
}

var catalogue = collect(
	genericFields(), eventFields(), argFields(), openFields(),
	processFields(), ancestorFields(), groupLeaderFields(), executableFields(), procfsFields(), threadFields(),
	userFields(), fdFields(), socketFields(), fspathFields(), fdlistFields(),
	containerFields(), k8sFields(), staticFields(), hiddenFields(),
)

func collect(classes ...[]Field) fields {
	c := fields{byName: make(map[string]*Field)}
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
	slices.SortStableFunc(c.all, func(a, b *Field) int { return classRank(a.Name) - classRank(b.Name) })
	return c
}

// classes are the first parts of fields' names, in the order of the listing.
var classes = []string{"evt", "syscall", "proc", "thread", "user", "group", "fd", "fs", "fdlist", "container", "k8s", "static"}

func classRank(name string) int {
	class, _, _ := strings.Cut(name, ".")
	return slices.Index(classes, class)
}

// index parses the argument of fields that count something.
func index(arg string) (int, error) {
	n, err := strconv.ParseUint(arg, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("argument %q: want a number", arg)
	}
	return int(n), nil
}
