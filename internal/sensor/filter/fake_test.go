package filter

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// The tests' catalogue has a few fields of each type, which read their values
// from a record: Context.Static.StaticFields, by name, several values
// separated by commas. A field that the record does not have is missing.
// Fields named p.* depend on the process: they read its Comm and Exe.

type record map[string]string

func contextOf(r record) *field.Context {
	return &field.Context{
		Static: &field.Static{StaticFields: r},
		Proc:   &state.Process{Comm: r["p.name"], Exe: r["p.exe"]},
	}
}

func raw(c *field.Context, name string) (string, bool) {
	v, ok := c.Static.StaticFields[name]
	return v, ok
}

type fakeField struct {
	typ   field.Type
	match field.Match
	stage field.Stage
	flags field.Flags
}

var fakes = map[string]fakeField{
	"s.a":          {typ: field.String, stage: field.AtEvent},
	"s.b":          {typ: field.String, stage: field.AtEvent},
	"evt.type":     {typ: field.String, stage: field.AtLoad},
	"syscall.type": {typ: field.String, stage: field.AtLoad},
	"evt.dir":      {typ: field.String, stage: field.AtLoad},
	"evt.num":      {typ: field.Uint, stage: field.AtEvent},
	"evt.arg":      {typ: field.String, stage: field.AtEvent},
	"p.name":       {typ: field.String, stage: field.AtExec},
	"p.exe":        {typ: field.String, stage: field.AtExec},
	"b.x":          {typ: field.Bytes, stage: field.AtEvent},
	"n.i":          {typ: field.Int, stage: field.AtEvent},
	"n.u":          {typ: field.Uint, stage: field.AtEvent},
	"n.u2":         {typ: field.Uint, stage: field.AtEvent},
	"n.d":          {typ: field.Double, stage: field.AtEvent},
	"n.t":          {typ: field.RelTime, stage: field.AtEvent},
	"n.bool":       {typ: field.Bool, stage: field.AtEvent},
	"n.near":       {typ: field.Uint, stage: field.AtEvent, flags: field.Within},
	"n.port":       {typ: field.Port, stage: field.AtEvent},
	"ip.one":       {typ: field.IPAddr, stage: field.AtEvent},
	"ip.two":       {typ: field.IPAddr, stage: field.AtEvent},
	"ip.net":       {typ: field.IPNet, stage: field.AtEvent},
	"ip.ends":      {typ: field.IPAddr, match: field.Ends, stage: field.AtEvent},
	"net.ends":     {typ: field.IPNet, match: field.Ends, stage: field.AtEvent},
	"port.ends":    {typ: field.Port, match: field.Ends, stage: field.AtEvent},
	"any.s":        {typ: field.String, match: field.Any, stage: field.AtEvent},
	"any.i":        {typ: field.Int, match: field.Any, stage: field.AtEvent, flags: field.NoRHS},
	"list.s":       {typ: field.String, match: field.List, stage: field.AtEvent},
	"list.t":       {typ: field.String, match: field.List, stage: field.AtEvent},
}

// fakeLookup is the Lookup of the tests.
func fakeLookup(text string) (*field.Field, field.Extractor, error) {
	name, _, _ := strings.Cut(text, "[")
	if strings.HasPrefix(name, "evt.arg.") {
		name = "evt.arg"
	}
	f, ok := fakes[name]
	if !ok {
		return nil, field.Extractor{}, fmt.Errorf("filter_check called with nonexistent field %s", text)
	}
	ex := field.Extractor{Type: f.typ, Match: f.match, Stage: f.stage}
	one := f.match == field.One
	switch f.typ {
	case field.String, field.Bytes:
		switch {
		case text == "p.name":
			ex.Str = func(c *field.Context) (string, bool) { return c.Proc.Comm, c.Proc.Comm != "" }
		case text == "p.exe":
			ex.Str = func(c *field.Context) (string, bool) { return c.Proc.Exe, c.Proc.Exe != "" }
		case one:
			ex.Str = func(c *field.Context) (string, bool) { return raw(c, text) }
		default:
			ex.Each = eachOf(text, f.match, func(s string) string { return s })
		}
	case field.Int:
		if one {
			ex.Int = oneOf(text, mustInt)
		} else {
			ex.EachInt = eachOf(text, f.match, mustInt)
		}
	case field.Double:
		ex.Double = oneOf(text, func(s string) float64 { v, _ := strconv.ParseFloat(s, 64); return v })
	case field.IPAddr, field.IPNet:
		if one {
			ex.IP = oneOf(text, mustAddr)
		} else {
			ex.EachIP = eachOf(text, f.match, mustAddr)
		}
	default:
		if one {
			ex.Uint = oneOf(text, mustUint)
		} else {
			ex.EachUint = eachOf(text, f.match, mustUint)
		}
	}
	return &field.Field{Name: name, Type: f.typ, Match: f.match, Stage: f.stage, Flags: f.flags}, ex, nil
}

func oneOf[T any](name string, parse func(string) T) func(*field.Context) (T, bool) {
	return func(c *field.Context) (T, bool) {
		s, ok := raw(c, name)
		if !ok {
			var zero T
			return zero, false
		}
		return parse(s), true
	}
}

func eachOf[T any](name string, match field.Match, parse func(string) T) func(*field.Context, func(T) bool) bool {
	return func(c *field.Context, yield func(T) bool) bool {
		s, ok := raw(c, name)
		if !ok || s == "" {
			return ok && match == field.List
		}
		for more := true; more; {
			var item string
			item, s, more = strings.Cut(s, ",")
			if !yield(parse(item)) {
				break
			}
		}
		return true
	}
}

func mustInt(s string) int64       { v, _ := strconv.ParseInt(s, 10, 64); return v }
func mustUint(s string) uint64     { v, _ := strconv.ParseUint(s, 10, 64); return v }
func mustAddr(s string) netip.Addr { a, _ := netip.ParseAddr(s); return a }

// mustParse parses text and resolves its fields.
func mustParse(t testing.TB, text string) Node {
	t.Helper()
	n, err := Parse(text)
	if err != nil {
		t.Fatalf("parse %q: %v", text, err)
	}
	if err := Resolve(n, fakeLookup); err != nil {
		t.Fatalf("resolve %q: %v", text, err)
	}
	return n
}

func mustCompile(t testing.TB, c *Compiler, n Node) Predicate {
	t.Helper()
	p, err := c.Compile(n)
	if err != nil {
		t.Fatalf("compile %s: %v", n, err)
	}
	return p
}
