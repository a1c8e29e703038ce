package filter

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// hostLookup has the field h.name, the name of the address ip.one.
func hostLookup(text string) (*field.Field, field.Extractor, error) {
	if text != "h.name" {
		return fakeLookup(text)
	}
	_, ex, err := fakeLookup("ip.one")
	ex.Type = field.String
	ex.Str = func(c *field.Context) (string, bool) { return raw(c, "h.name") }
	return &field.Field{Name: text, Type: field.String}, ex, err
}

// TestHosts shows a row of docs/compatibility.md.
func TestHosts(t *testing.T) {
	c := NewCompiler(hostLookup)
	answers := map[string][]netip.Addr{}
	c.hosts.resolve = func(_ context.Context, _, name string) ([]netip.Addr, error) {
		if a := answers[name]; a != nil {
			return a, nil
		}
		return nil, errors.New("no such host")
	}
	compile := func(text string) Predicate {
		n, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return mustCompile(t, c, n)
	}
	is, isNot, oneOf := compile("h.name = api.local"), compile("h.name != api.local"), compile("h.name in (a.local, b.local)")
	if got := strings.Join(c.Hosts().Names(), " "); got != "a.local api.local b.local" {
		t.Errorf("names %s", got)
	}
	ctx := contextOf(record{"ip.one": "10.0.0.1"})
	for _, tt := range []struct {
		answer string // "" for none
		is     bool
	}{
		{"", false},
		{"::ffff:10.0.0.1", true},
		{"", true}, // the earlier addresses are kept
		{"10.0.0.2", false},
	} {
		clear(answers)
		if tt.answer != "" {
			answers["api.local"] = []netip.Addr{netip.MustParseAddr(tt.answer)}
		}
		failed := c.Hosts().Lookup(t.Context())
		if (failed["api.local"] != nil) != (tt.answer == "") || failed["a.local"] == nil {
			t.Errorf("answer %q: not found: %v", tt.answer, failed)
		}
		if is(ctx) != tt.is || isNot(ctx) == tt.is || oneOf(ctx) {
			t.Errorf("answer %q: = is %v, != is %v, in is %v", tt.answer, is(ctx), isNot(ctx), oneOf(ctx))
		}
	}
	if n := testing.AllocsPerRun(100, func() { is(ctx) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if is(contextOf(record{})) || isNot(contextOf(record{})) {
		t.Error("true without an address")
	}
	if !oneOf(contextOf(record{"h.name": "b.local", "ip.one": "10.0.0.9"})) {
		t.Error("a name that is there is not compared")
	}
}

// The names of this machine's own file are found without a server.
func TestHostsOfSystem(t *testing.T) {
	c := NewCompiler(hostLookup)
	n, err := Parse("h.name = localhost")
	if err != nil {
		t.Fatal(err)
	}
	is := mustCompile(t, c, n)
	if failed := c.Hosts().Lookup(t.Context()); len(failed) > 0 {
		t.Fatal(failed)
	}
	if !is(contextOf(record{"ip.one": "127.0.0.1"})) {
		t.Error("127.0.0.1 is not localhost")
	}
}
