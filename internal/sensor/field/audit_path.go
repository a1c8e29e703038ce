package field

import (
	"strings"

	"github.com/peregrine-sec/peregrine/internal/jsontext"
)

// route leads through an audit event to values of a list field: keys and, as
// [], every element of an array.
type route []step

type step struct {
	key  string
	each bool
}

// parseRoute reads a route such as "requestObject.spec.volumes[].hostPath.path".
func parseRoute(text string) (root jsontext.Pointer, p route) {
	first, rest, _ := strings.Cut(text, ".")
	if strings.HasSuffix(first, "[]") {
		p = append(p, step{each: true})
	}
	for _, key := range strings.FieldsFunc(rest, func(r rune) bool { return r == '.' }) {
		name, each := strings.CutSuffix(key, "[]")
		p = append(p, step{key: name})
		if each {
			p = append(p, step{each: true})
		}
	}
	return jsontext.ParsePointer(strings.TrimSuffix(first, "[]")), p
}

// anyElement stands for every element of an array, where an index could be.
const anyElement = -1

// emit gives the values that a value at the end of a route stands for. It
// returns false when no more are wanted.
type emit func(c *Context, v jsontext.Value, yield func(string) bool) bool

// walk follows a route from v. index selects an element of the first array on
// the way, unless it is anyElement.
func (c *Context) walk(v jsontext.Value, p route, index int, emit emit, yield func(string) bool) bool {
	for i, s := range p {
		if !s.each {
			if v = v.Get(s.key); v == nil {
				return true
			}
			continue
		}
		if v.Kind() != jsontext.Array {
			return true
		}
		n := 0
		for it := v.Parts(); it.Next(); n++ {
			if (index == anyElement || index == n) && !c.walk(it.Value, p[i+1:], anyElement, emit, yield) {
				return false
			}
		}
		return true
	}
	return emit(c, v, yield)
}

// emitText gives the value itself; emitJSON gives it as JSON text, strings too.
func emitText(c *Context, v jsontext.Value, yield func(string) bool) bool {
	return c.giveText(v, yield)
}

func emitJSON(c *Context, v jsontext.Value, yield func(string) bool) bool {
	return c.give(c.compact(v), yield)
}

// auditList is a list field of the values at the end of a route. An index in
// brackets, if the field takes one, selects an element of its first array.
func auditList(name, doc, at string, emit emit) Field {
	root, p := parseRoute(at)
	return listField(name, doc, func(c *Context, index int, yield func(string) bool) {
		c.walk(c.follow(root), p, index, emit, yield)
	})
}

// listField is a list field, whose values fill gives one by one. An empty list
// is missing.
func listField(name, doc string, fill func(c *Context, index int, yield func(string) bool)) Field {
	return Field{
		Name: name, Type: String, Match: List, Stage: AtEvent, Doc: doc,
		Bind: func(arg string) (Extractor, error) {
			index := anyElement
			if arg != "" {
				var err error
				if index, err = elementIndex(arg); err != nil {
					return Extractor{}, err
				}
			}
			return Extractor{Type: String, Match: List, Stage: AtEvent, Each: func(c *Context, yield func(string) bool) bool {
				c.listed = 0
				fill(c, index, yield)
				return c.listed > 0
			}}, nil
		},
	}
}

// indexed says that the field takes the index of an element.
func (f Field) indexed() Field {
	f.Arg = ArgAllowed
	f.Doc += " An index selects one element."
	return f
}
