package field

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unsafe"
)

// transformers are the names that Transform knows.
var transformers = []string{"tolower", "toupper", "b64", "basename", "len", "join", "concat", "getopt"}

// Literal is a text of the rule as an argument of a transformer.
func Literal(text string) Extractor {
	return Extractor{Type: String, Stage: AtLoad, literal: true, Str: func(*Context) (string, bool) { return text, true }}
}

// Tuple is a list of texts and numbers as an argument of a transformer. It has
// no value while one of its items has none.
func Tuple(items []Extractor) (Extractor, error) {
	items = slices.Clone(items)
	for i, x := range items {
		if items[i] = inText(x); !isText(items[i]) {
			return Extractor{}, fmt.Errorf("item %d of the list is neither a text nor a number", i+1)
		}
	}
	stage, literal := stageOf(items)
	return Extractor{Type: String, Match: List, Stage: stage, literal: literal, Each: func(c *Context, yield func(string) bool) bool {
		for _, x := range items {
			if _, ok := x.Str(c); !ok {
				return false
			}
		}
		for _, x := range items {
			if s, _ := x.Str(c); !yield(s) {
				break
			}
		}
		return true
	}}, nil
}

// Transform applies the named transformer to its arguments. index is the text
// in brackets after them, "" for none: only getopt takes one. Strings it builds
// are valid until the next event; a missing argument makes the result missing.
// The functions that walk lists are made here, once, so that evaluation
// allocates nothing: the result belongs to one goroutine.
func Transform(name string, args []Extractor, index string) (Extractor, error) {
	if index != "" && name != "getopt" {
		return Extractor{}, fmt.Errorf("transformer %s takes no argument in brackets", name)
	}
	x, err := transform(name, args, index)
	x.Stage, x.literal = stageOf(args)
	return x, err
}

func transform(name string, args []Extractor, index string) (Extractor, error) {
	switch name {
	case "tolower", "toupper", "b64", "basename", "len":
		if len(args) != 1 {
			return Extractor{}, fmt.Errorf("transformer %s takes 1 argument, not %d", name, len(args))
		}
		return transformOne(name, args[0])
	case "concat":
		if len(args) < 2 || !all(args, isText) {
			return Extractor{}, fmt.Errorf("transformer concat takes two or more texts, and no lists")
		}
		return concat(args), nil
	case "join":
		if len(args) != 2 || !isText(args[0]) || !isList(args[1]) {
			return Extractor{}, fmt.Errorf("transformer join takes a separator and a list")
		}
		return join(args[0], args[1]), nil
	case "getopt":
		if len(args) != 2 || !isList(args[0]) || !isText(args[1]) || len(index) > 1 {
			return Extractor{}, fmt.Errorf("transformer getopt takes a list of arguments and the options, as in getopt(proc.args, \"ab:\")[b]")
		}
		return getopt(args[0], args[1], index), nil
	}
	return Extractor{}, fmt.Errorf("unknown transformer '%s': expected one of %s", name, strings.Join(transformers, " "))
}

func transformOne(name string, x Extractor) (Extractor, error) {
	if name == "len" {
		return length(x)
	}
	if x.Type != String && (x.Type != Bytes || name != "b64") {
		return Extractor{}, fmt.Errorf("transformer %s applies to texts", name)
	}
	f := map[string]func(*Context, string) (string, bool){
		"tolower": toLower, "toupper": toUpper, "b64": decode, "basename": afterSlash,
	}[name]
	y := Extractor{Type: x.Type, Match: x.Match}
	if str := x.Str; str != nil {
		y.Str = func(c *Context) (string, bool) {
			s, ok := str(c)
			if !ok {
				return "", false
			}
			return f(c, s)
		}
	}
	if each := x.Each; each != nil && x.Match != One {
		var ctx *Context
		var next func(string) bool
		visit := func(s string) bool {
			s, ok := f(ctx, s)
			return !ok || next(s)
		}
		y.Each = func(c *Context, yield func(string) bool) bool {
			ctx, next = c, yield
			return each(c, visit)
		}
	}
	return y, nil
}

// inText is a number as the text of its decimal digits; any other x as it is.
func inText(x Extractor) Extractor {
	if x.Match != One {
		return x
	}
	y := Extractor{Type: String, Stage: x.Stage, literal: x.literal}
	switch {
	case x.Int != nil:
		y.Str = func(c *Context) (string, bool) {
			n, ok := x.Int(c)
			return c.keep(strconv.AppendInt(c.buf, n, 10)), ok
		}
	case x.Uint != nil && x.Type != Bool:
		y.Str = func(c *Context) (string, bool) {
			n, ok := x.Uint(c)
			return c.keep(strconv.AppendUint(c.buf, n, 10)), ok
		}
	default:
		return x
	}
	return y
}

func isText(x Extractor) bool { return x.Type == String && x.Match == One }

// isList says whether x can be taken apart: a list, or a text, whose words are
// taken.
func isList(x Extractor) bool { return x.Type == String }

func all(args []Extractor, is func(Extractor) bool) bool {
	return !slices.ContainsFunc(args, func(x Extractor) bool { return !is(x) })
}

// stageOf returns the stage at which a value made of args is known: that of the
// last. A mix of facts about the kind of event and about the process needs
// both, which only the event has.
func stageOf(args []Extractor) (stage Stage, literal bool) {
	first := true
	for _, x := range args {
		switch {
		case x.literal:
		case first:
			stage, first = x.Stage, false
		case x.Stage != stage:
			stage = AtEvent
		}
	}
	return stage, first
}

// elements calls yield for the elements of x: those of a list, the arguments
// of a process, the words of any other text.
func elements(x Extractor, c *Context, yield func(string) bool) bool {
	if x.Each != nil {
		return x.Each(c, yield)
	}
	s, ok := x.Str(c)
	if ok {
		for word := range strings.FieldsSeq(s) {
			if !yield(word) {
				break
			}
		}
	}
	return ok
}

func toLower(c *Context, s string) (string, bool) { return c.mapped(s, 'A', 'Z', 'a'-'A'), true }
func toUpper(c *Context, s string) (string, bool) { return c.mapped(s, 'a', 'z', 256-('a'-'A')), true }

// mapped adds shift to all bytes of s between from and to: ASCII letters only,
// as Falco does.
func (c *Context) mapped(s string, from, to byte, shift int) string {
	i := 0
	for i < len(s) && (s[i] < from || s[i] > to) {
		i++
	}
	if i == len(s) {
		return s
	}
	start := len(c.buf)
	c.buf = append(c.buf, s...)
	for i := start; i < len(c.buf); i++ {
		if b := c.buf[i]; b >= from && b <= to {
			c.buf[i] = b + byte(shift)
		}
	}
	return c.built(start)
}

func decode(c *Context, s string) (string, bool) {
	start := len(c.buf)
	s = strings.TrimRight(s, "=")                     // the padding is optional
	src := unsafe.Slice(unsafe.StringData(s), len(s)) // only read
	buf, err := base64.RawStdEncoding.AppendDecode(c.buf, src)
	if err != nil {
		c.buf = buf[:start]
		return "", false
	}
	c.buf = buf
	return c.built(start), true
}

func afterSlash(_ *Context, s string) (string, bool) {
	return s[strings.LastIndexByte(s, '/')+1:], true
}

func length(x Extractor) (Extractor, error) {
	y := Extractor{Type: Uint}
	switch {
	case x.Match == List && x.Each != nil:
		var n uint64
		count := func(string) bool { n++; return true }
		y.Uint = func(c *Context) (uint64, bool) {
			n = 0
			ok := x.Each(c, count)
			return n, ok
		}
	case x.Str != nil:
		y.Uint = func(c *Context) (uint64, bool) {
			s, ok := x.Str(c)
			return uint64(len(s)), ok
		}
	default:
		return Extractor{}, fmt.Errorf("transformer len applies to texts and lists")
	}
	return y, nil
}

func concat(args []Extractor) Extractor {
	parts := make([]string, len(args))
	return Extractor{Type: String, Str: func(c *Context) (string, bool) {
		for i, x := range args { // all first: they build their values in the same memory
			s, ok := x.Str(c)
			if !ok {
				return "", false
			}
			parts[i] = s
		}
		start := len(c.buf)
		for _, s := range parts {
			c.buf = append(c.buf, s...)
		}
		return c.built(start), true
	}}
}

func join(separator, list Extractor) Extractor {
	var parts []string
	collect := func(s string) bool {
		parts = append(parts, s)
		return true
	}
	return Extractor{Type: String, Str: func(c *Context) (string, bool) {
		sep, ok := separator.Str(c)
		parts = parts[:0]
		if !ok || !elements(list, c, collect) {
			return "", false
		}
		start := len(c.buf)
		for i, s := range parts {
			if i > 0 {
				c.buf = append(c.buf, sep...)
			}
			c.buf = append(c.buf, s...)
		}
		return c.built(start), true
	}}
}
