package filter

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"testing"
	"time"

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

func TestHosts(t *testing.T) {
	answers := make(chan []netip.Addr, 1)
	asked := make(chan string, 1)
	resolve := func(_ context.Context, _, name string) ([]netip.Addr, error) {
		asked <- name
		if a := <-answers; a != nil {
			return a, nil
		}
		return nil, errors.New("no such host")
	}
	compile := func(text string) Predicate {
		n, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		c := NewCompiler(hostLookup)
		c.resolve = resolve
		return mustCompile(t, c, n)
	}
	is, isNot := compile("h.name = api.local"), compile("h.name != api.local")
	ctx := contextOf(record{"ip.one": "10.0.0.1"})
	ctx.Time = 1000 * uint64(time.Second)
	for _, want := range []struct {
		answer []netip.Addr
		is     bool
	}{
		{[]netip.Addr{netip.MustParseAddr("::ffff:10.0.0.1")}, true},
		{nil, true}, // what was known still counts
		{[]netip.Addr{netip.MustParseAddr("10.0.0.2")}, false},
	} {
		for _, p := range []Predicate{is, isNot} {
			answerOne(t, p, ctx, asked, answers, want.answer)
		}
		// Both are known once they have been stored.
		eventually(t, func() bool { return is(ctx) == want.is && isNot(ctx) != want.is })
		if n := testing.AllocsPerRun(100, func() { is(ctx) }); n > 0 {
			t.Errorf("%v allocations", n)
		}
		ctx.Time += hostLifetime + 1
	}
	if is(contextOf(record{})) || isNot(contextOf(record{})) {
		t.Error("true without an address")
	}
	if p := compile("h.name in (a.local, b.local)"); !p(contextOf(record{"h.name": "b.local", "ip.one": "10.0.0.9"})) {
		t.Error("a name that is there is not compared")
	}
}

// answerOne evaluates p until it asks for its host, and answers.
func answerOne(t *testing.T, p Predicate, ctx *field.Context, asked <-chan string, answers chan<- []netip.Addr, answer []netip.Addr) {
	t.Helper()
	eventually(t, func() bool {
		p(ctx)
		select {
		case name := <-asked:
			if name != "api.local" {
				t.Errorf("asked for %s", name)
			}
			answers <- answer
			return true
		default:
			return false
		}
	})
}

// eventually waits until f is true.
func eventually(t *testing.T, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatal("waited for 10 s in vain")
		}
	}
}
