package field

import (
	"net/netip"

	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// The functions of this file define one field each: name, when it is known,
// text for people, getter.

func fixed(name string, stage Stage, doc string, x Extractor) Field {
	x.Stage = stage
	return Field{
		Name: name, Type: x.Type, Match: x.Match, Stage: stage, Doc: doc,
		Bind: func(string) (Extractor, error) { return x, nil },
	}
}

func str(name string, stage Stage, doc string, get func(*Context) (string, bool)) Field {
	return fixed(name, stage, doc, Extractor{Type: String, Str: get})
}

func integer(name string, stage Stage, doc string, get func(*Context) (int64, bool)) Field {
	return fixed(name, stage, doc, Extractor{Type: Int, Int: get})
}

func unsigned(name string, t Type, stage Stage, doc string, get func(*Context) (uint64, bool)) Field {
	return fixed(name, stage, doc, Extractor{Type: t, Uint: get})
}

func boolean(name string, stage Stage, doc string, get func(*Context) (uint64, bool)) Field {
	return unsigned(name, Bool, stage, doc, get)
}

func address(name string, t Type, doc string, get func(*Context) (netip.Addr, bool)) Field {
	return fixed(name, AtEvent, doc, Extractor{Type: t, IP: get})
}

// never is a field that has no value in any event.
func never(name string, t Type, doc string) Field {
	x := Extractor{Type: t}
	switch t {
	case String:
		x.Str = func(*Context) (string, bool) { return "", false }
	case Int:
		x.Int = func(*Context) (int64, bool) { return 0, false }
	case Double:
		x.Double = func(*Context) (float64, bool) { return 0, false }
	default:
		x.Uint = func(*Context) (uint64, bool) { return 0, false }
	}
	return fixed(name, AtLoad, doc, x).with(NeverSet)
}

// argField is a text that depends on an argument in brackets.
func argField(name string, stage Stage, doc string, get func(c *Context, arg string) (string, bool)) Field {
	return Field{
		Name: name, Type: String, Stage: stage, Arg: ArgRequired, Doc: doc,
		Bind: func(arg string) (Extractor, error) {
			return Extractor{Type: String, Stage: stage, Str: func(c *Context) (string, bool) { return get(c, arg) }}, nil
		},
	}
}

// afterDot lets the argument of a field also follow after a dot.
func (f Field) afterDot() Field {
	f.dotted = true
	return f
}

// ofProcess is a string about the process itself, known since its exec.
func ofProcess(name, doc string, get func(*state.Process) string) Field {
	return str(name, AtExec, doc, func(c *Context) (string, bool) { return get(c.Proc), true })
}

// ofParent is a string about the parent; missing if the parent is not known.
func ofParent(name, doc string, get func(*state.Process) string) Field {
	return str(name, AtExec, doc, func(c *Context) (string, bool) {
		p := c.Table.Parent(c.Proc)
		if p == nil {
			return "", false
		}
		return get(p), true
	})
}

// idOf is a number about the process; negative ones are missing.
func idOf(name, doc string, get func(*state.Process) int32) Field {
	return integer(name, AtExec, doc, func(c *Context) (int64, bool) {
		n := get(c.Proc)
		return int64(n), n >= 0
	})
}

func factOf(name, doc string, get func(*state.Process) bool) Field {
	return boolean(name, AtExec, doc, func(c *Context) (uint64, bool) { return b2u(get(c.Proc)), true })
}

// countOf is a count about the process, known since its exec.
func countOf(name string, t Type, doc string, get func(*state.Process) uint64) Field {
	return unsigned(name, t, AtExec, doc, func(c *Context) (uint64, bool) { return get(c.Proc), true })
}

// nonzeroOf is countOf for numbers where 0 means that they are not known.
func nonzeroOf(name string, t Type, doc string, get func(*state.Process) uint64) Field {
	return unsigned(name, t, AtExec, doc, func(c *Context) (uint64, bool) {
		n := get(c.Proc)
		return n, n != 0
	})
}

// inKernel marks a field that the probe uses to rule calls out; a test in
// package plan compares the marks with the probe's filters.
func (f Field) inKernel() Field {
	f.Stage = AtKernel
	return f
}

func (f Field) with(flags Flags) Field {
	f.Flags |= flags
	return f
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
