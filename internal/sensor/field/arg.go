package field

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// argFields are the parameters of events.
func argFields() []Field {
	return []Field{
		str("evt.args", AtEvent, "All parameters, as name=value or name=value(RESOLVED), separated by spaces.", allArgs),
		{
			Name: "evt.arg", Type: String, Stage: AtKernel, Arg: ArgRequired, dotted: true,
			Doc:  "One parameter, by name or number: evt.arg.flags, evt.arg[0]. Flags and errors are shown by name, user ids as user names, and relative paths as absolute ones. The kernel knows evt.arg.name and evt.arg.flags.",
			Bind: bindArg,
		},
		{
			Name: "evt.rawarg", Type: Uint, Stage: AtEvent, Arg: ArgRequired, Flags: NoRHS | NoTransformer, dotted: true,
			Doc:  "One parameter, unchanged and with its own type, so that numbers such as evt.rawarg.res can be compared.",
			Bind: bindRawArg,
		},
		str("evt.info", AtEvent, "The same as evt.args.", allArgs),
		abspath(),
	}
}

// missing is Falco's text for parameters without a value.
const missing = "NULL"

func allArgs(c *Context) (string, bool) {
	start := len(c.out)
	for i := range kindParams[c.Event.Kind()] {
		p := &kindParams[c.Event.Kind()][i]
		if i > 0 {
			c.out = append(c.out, ' ')
		}
		c.out = append(append(c.out, p.Name...), '=')
		if p.isMissing(c) {
			c.out = append(c.out, missing...)
			continue
		}
		r := &renderings[p.Type]
		c.out = append(r.raw(c, c.out, p), '(')
		before := len(c.out)
		if c.out = r.resolved(c, c.out, p); len(c.out) > before {
			c.out = append(c.out, ')')
		} else {
			c.out = c.out[:before-1]
		}
	}
	return text(c.out[start:]), true
}

func (p *slotParam) isMissing(c *Context) bool {
	return p.Type.Variable() && c.Event.Uint(p.slot) == 0
}

// text is the value of evt.arg for a parameter. Text is borrowed from the
// event, the rest is built once.
func (p *slotParam) text(c *Context) string {
	if bit := uint64(1) << p.slot; c.argsHave&bit == 0 {
		c.args[p.slot] = p.render(c)
		c.argsHave |= bit
	}
	return c.args[p.slot]
}

func (p *slotParam) render(c *Context) string {
	if p.isMissing(c) {
		return missing
	}
	switch p.Type {
	case event.String:
		s, _ := c.Event.Str(p.slot)
		if namesFile[c.Event.Kind()]&(1<<p.slot) != 0 {
			c.pathUsed = true
			if c.wanted().followed && (c.Event.Kind() != event.KindMount || strings.HasPrefix(s, "/")) {
				s, _ = c.absolutePath(p)
			}
		}
		return s
	case event.Path, event.RelPath:
		c.pathUsed = true
		if c.name > 0 {
			s, _ := c.absolute(p)
			return s
		}
		if s, _ := c.Event.Str(p.slot); s == "" || s[0] == '/' {
			return s
		}
	}
	r, start := &renderings[p.Type], len(c.out)
	if c.out = r.resolved(c, c.out, p); len(c.out) == start {
		c.out = r.raw(c, c.out, p)
	}
	return text(c.out[start:])
}

// paramsByKind are the parameters that an argument of evt.arg means, by kind;
// nil where a kind has none.
type paramsByKind [event.NumKinds]*slotParam

func paramsOf(arg string) (*paramsByKind, error) {
	n, err := strconv.ParseUint(arg, 10, 8)
	byNumber := err == nil
	params, found := new(paramsByKind), false
	for k := range kindParams {
		for i := range kindParams[k] {
			p := &kindParams[k][i]
			if (byNumber && uint64(i) == n) || (!byNumber && p.Name == arg) {
				params[k], found = p, true
				break
			}
		}
	}
	if !found {
		return nil, fmt.Errorf("unknown event argument %s", arg)
	}
	return params, nil
}

// HasParam says whether events of kind k have the parameter arg of evt.arg, a
// name or a number.
func HasParam(k event.Kind, arg string) bool {
	params, err := paramsOf(arg)
	return err == nil && params[k] != nil
}

func bindArg(arg string) (Extractor, error) {
	params, err := paramsOf(arg)
	if err != nil {
		return Extractor{}, err
	}
	return Extractor{Type: String, Stage: AtEvent, Str: func(c *Context) (string, bool) {
		p := params[c.Event.Kind()]
		if p == nil {
			return "", false
		}
		return p.text(c), true
	}}, nil
}

// bindRawArg gives the parameter the type that it has in the first kind of
// event that knows it; events where it is of another sort have no value.
func bindRawArg(arg string) (Extractor, error) {
	params, err := paramsOf(arg)
	if err != nil {
		return Extractor{}, err
	}
	var first *slotParam
	for k, p := range params {
		switch {
		case p == nil:
		case first == nil:
			first = p
		case rawType(p.Type) != rawType(first.Type):
			params[k] = nil
		}
	}
	x := Extractor{Type: rawType(first.Type), Stage: AtEvent}
	switch x.Type {
	case Int:
		x.Int = func(c *Context) (int64, bool) {
			p := params[c.Event.Kind()]
			if p == nil {
				return 0, false
			}
			return c.Event.Int(p.slot), true
		}
	case String, Bytes:
		x.Str = func(c *Context) (string, bool) {
			p := params[c.Event.Kind()]
			if p == nil {
				return "", false
			}
			return c.Event.Str(p.slot)
		}
	default:
		x.Uint = func(c *Context) (uint64, bool) {
			p := params[c.Event.Kind()]
			if p == nil {
				return 0, false
			}
			return c.number(p), true
		}
	}
	return x, nil
}

func rawType(t event.Type) Type {
	switch t {
	case event.Errno, event.FD, event.PID, event.Int8, event.Int16, event.Int32, event.Int64:
		return Int
	case event.RelTime:
		return RelTime
	case event.AbsTime:
		return AbsTime
	case event.String, event.Path, event.RelPath:
		return String
	}
	if t.Variable() {
		return Bytes
	}
	return Uint
}

// abspath is evt.abspath, evt.abspath.src and evt.abspath.dst: the paths of
// the *at syscalls, made absolute.
func abspath() Field {
	get := func(n int) func(*Context) (string, bool) {
		return func(c *Context) (string, bool) {
			slot := abspaths[c.Event.Kind()][n]
			if slot < 0 {
				return "", false
			}
			return c.absolute(&kindParams[c.Event.Kind()][slot])
		}
	}
	return Field{
		Name: "evt.abspath", Type: String, Stage: AtEvent, Arg: ArgAllowed, dotted: true,
		Doc: "Absolute path of syscalls that take a directory and a path relative to it. For renames and links, use evt.abspath.src and evt.abspath.dst.",
		Bind: func(arg string) (Extractor, error) {
			n, ok := map[string]int{"": 0, "src": 1, "dst": 2}[arg]
			if !ok {
				return Extractor{}, fmt.Errorf("argument %q: expected src or dst", arg)
			}
			return Extractor{Type: String, Stage: AtEvent, Str: get(n)}, nil
		},
	}
}

// abspaths are the slots of evt.abspath, .src and .dst by kind.
var abspaths = func() (slots [event.NumKinds][3]int) {
	for k := range slots {
		slots[k] = [3]int{-1, -1, -1}
	}
	for k, names := range map[event.Kind][3]string{
		event.KindRenameat: {"oldpath", "oldpath", "newpath"}, event.KindRenameat2: {"oldpath", "oldpath", "newpath"},
		event.KindSymlinkat: {"linkpath"}, event.KindOpenat: {"name"}, event.KindOpenat2: {"name"},
		event.KindOpenByHandleAt: {"path"}, event.KindLinkat: {"oldpath", "oldpath", "newpath"},
		event.KindUnlinkat: {"name"}, event.KindMkdirat: {"path"}, event.KindFchmodat: {"filename"},
		event.KindFchmodat2: {"filename"}, event.KindFchownat: {"pathname"},
	} {
		for i, name := range names {
			if name != "" {
				slots[k][i] = k.Info().Slot(name)
			}
		}
	}
	return slots
}()

// absolute is the path parameter p, joined with its directory and cleaned; or
// another name of it that the Context asks for.
func (c *Context) absolute(p *slotParam) (string, bool) {
	path, ok := c.Event.Str(p.slot)
	if !ok {
		return "", false
	}
	c.pathUsed = true
	switch want := c.wanted(); {
	case want.followed:
		return c.withoutLinks(c.baseOf(p), path, followsLast(c, p)), true
	case want.file >= 0:
		return c.fileInfo().Views().At(want.file), true
	}
	return c.joined(c.baseOf(p), path), true
}
