package plan

import (
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan/pathset"
)

// pathNeed has the clauses that a path meets if the check of the named field with
// value is true.
func pathNeed(name string, op filter.Op, value string) []clause {
	equal := op == filter.Eq || op == filter.EqEq || op == filter.In
	switch name {
	case "fd.nameraw", "fs.path.nameraw":
		if op == filter.PMatch { // to which etc/x is below /etc
			return nil
		}
		return nameNeed(op, value)
	case "fd.name", "fs.path.name", "evt.arg.name":
		return nameNeed(op, value)
	case "fd.directory":
		switch {
		case equal && value == "/": // of a directory it is the path itself
			return []clause{{patterns: []pathset.Pattern{{Text: "/", Kind: pathset.Exact}, {Text: "/", Kind: pathset.Within}}}}
		case equal && strings.HasPrefix(value, "/"): // Within would need too many states
			return []clause{{patterns: []pathset.Pattern{{Text: value, Kind: pathset.Exact}, {Text: value + "/", Kind: pathset.Prefix}}}}
		case equal, op == filter.StartsWith:
			return occurs(pathset.Prefix, value)
		}
	case "fd.filename":
		if equal && value != "/" { // which that of the root directory is
			return occurs(pathset.Suffix, "/"+value)
		}
	}
	return nil
}

// exclusion is met by a path of which the check of the named field is certainly
// true.
func exclusion(name string, op filter.Op, c *filter.Check) (all clause) {
	kinds := map[filter.Op]pathset.Kind{
		filter.Eq: pathset.Exact, filter.EqEq: pathset.Exact, filter.In: pathset.Exact,
		filter.StartsWith: pathset.Prefix, filter.EndsWith: pathset.Suffix, filter.Contains: pathset.Contains,
	}
	kind, ok := kinds[op]
	if name != "fd.name" || !ok { // other fields are not the name as a whole
		return clause{}
	}
	for _, value := range texts(c) {
		all.patterns = append(all.patterns, pathset.Pattern{Text: value, Kind: kind})
	}
	if len(all.patterns) > 0 {
		all.by = []*filter.Check{c}
	}
	return all
}

// occurs needs a text at a place; one that occurs everywhere needs nothing.
func occurs(kind pathset.Kind, text string) []clause {
	if text == "" && kind != pathset.Exact {
		return nil
	}
	return []clause{{patterns: []pathset.Pattern{{Text: text, Kind: kind}}}}
}

func nameNeed(op filter.Op, value string) []clause {
	switch op {
	case filter.Eq, filter.EqEq, filter.In:
		return occurs(pathset.Exact, value)
	case filter.StartsWith:
		return occurs(pathset.Prefix, value)
	case filter.EndsWith:
		return occurs(pathset.Suffix, value)
	case filter.Contains:
		return occurs(pathset.Contains, value)
	case filter.Glob:
		return globNeed(value)
	case filter.PMatch:
		prefix := strings.TrimRight(value, "/")
		if i := strings.IndexAny(value, special); i >= 0 {
			prefix = value[:i]
		}
		if !strings.HasPrefix(prefix, "/") && prefix != "" || strings.Contains(prefix, "//") {
			return nil // its components are compared, not its text
		}
		return occurs(pathset.Prefix, prefix)
	}
	return nil
}

// special are the bytes that stand for others in a glob.
const special = `*?[\`

// globNeed: what stands before, between and behind the wildcards must occur.
func globNeed(glob string) []clause {
	first := strings.IndexAny(glob, special)
	if first < 0 {
		return occurs(pathset.Exact, glob)
	}
	all := occurs(pathset.Prefix, glob[:first])
	if strings.ContainsAny(glob, `[\`) {
		return all
	}
	parts := strings.FieldsFunc(glob[first:], func(r rune) bool { return r == '*' || r == '?' })
	for i, text := range parts {
		kind := pathset.Contains
		if i == len(parts)-1 && strings.HasSuffix(glob, text) {
			kind = pathset.Suffix
		}
		all = append(all, occurs(kind, text)...)
	}
	return tidy(all)
}
