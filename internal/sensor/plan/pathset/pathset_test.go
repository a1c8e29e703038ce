package pathset

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// met is the mask of one clause of a need.
func met(clause, bit int) (mask Clauses) {
	mask.Met[clause] = 1 << bit
	return mask
}

func occurs(p Pattern, path string) bool {
	switch p.Kind {
	case Exact:
		return path == p.Text
	case Prefix:
		return strings.HasPrefix(path, p.Text)
	case Suffix:
		return strings.HasSuffix(path, p.Text)
	case Contains:
		return strings.Contains(path, p.Text)
	case Within:
		rest, ok := strings.CutPrefix(path, p.Text)
		return ok && rest != "" && !strings.Contains(rest, "/")
	}
	panic("another kind")
}

// naive is the model of Set.Match.
func naive(patterns []Pattern, path string) Clauses {
	mask := naiveText(patterns, path)
	if name, slash := strings.CutSuffix(path, "/"); slash {
		without := naiveText(patterns, name)
		mask.add(&without)
		mask.Excluded = 0
	}
	return mask
}

// naiveText is the model of Set.MatchText.
func naiveText(patterns []Pattern, text string) (mask Clauses) {
	for _, p := range patterns {
		if occurs(p, text) {
			mask.add(&p.Mask)
		}
	}
	return mask
}

func TestMatch(t *testing.T) {
	patterns := []Pattern{
		{"/etc/shadow", Exact, met(0, 0)},
		{"/etc/", Prefix, met(1, 1)},
		{"/.bashrc", Suffix, met(2, 2)},
		{"/.ssh/", Contains, met(3, 3)},
		{"s", Contains, met(0, 4)},
		{"", Prefix, met(1, 5)},
		{"w", Suffix, met(2, 6)},
		{"/", Within, met(0, 7)},
		{"/etc/", Within, met(1, 8)},
		{"/etc/s", Prefix, Clauses{Excluded: 1}},
	}
	set, err := New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"", "/", "/etc", "/etc/", "/etc/shadow", "/etc/shadow2", "/x/etc/shadow", "/root/.bashrc", "/home/a/.ssh/id",
		"/etc/.ssh/.bashrc", "/etc/\xff/w", "/.ssh/", "/.bashrc/w", "/etc/shadow/", "/e/shadow", "/etc/sh/", "/shadow",
	} {
		want := naive(patterns, path)
		if got := set.Match(path); got != want {
			t.Errorf("%q: %x, want %x", path, got, want)
		}
		if len(path) < 2 {
			continue
		}
		i := strings.LastIndexByte(path[:max(1, len(path)-1)], '/')
		if got := set.MatchJoined(path[:max(i, 1)], path[i+1:]); got != want {
			t.Errorf("%q in two parts: %x, want %x", path, got, want)
		}
	}
}

// A small alphabet makes patterns overlap in every way.
func TestMatchesNaive(t *testing.T) {
	text := rapid.StringOfN(rapid.RuneFrom([]rune("ab/")), 0, 5, -1)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 12).Draw(t, "n")
		var patterns []Pattern
		for i := range n {
			p := Pattern{text.Draw(t, fmt.Sprint("pattern", i)), Kind(rapid.IntRange(0, 4).Draw(t, "kind")), met(i%NumClauses, i)}
			if p.Kind == Within {
				p.Text += "/"
			}
			if i%5 == 4 {
				p.Mask = Clauses{Excluded: 1 << i}
			}
			patterns = append(patterns, p)
		}
		set, err := New(patterns)
		if err != nil {
			t.Fatal(err)
		}
		path := rapid.StringOfN(rapid.RuneFrom([]rune("abc/")), 0, 20, -1).Draw(t, "path")
		if got, want := set.Match(path), naive(patterns, path); got != want {
			t.Fatalf("%v on %q: %x, want %x", patterns, path, got, want)
		}
		i := rapid.IntRange(0, len(path)).Draw(t, "end of the first part")
		if got, want := set.MatchText(path[:i], path[i:]), naiveText(patterns, path); got != want {
			t.Fatalf("%v on the text %q: %x, want %x", patterns, path, got, want)
		}
	})
}

// A Set keeps its tables, and nothing else of what they were made from.
func TestMemory(t *testing.T) {
	var patterns []Pattern
	for i := range 100 {
		patterns = append(patterns, Pattern{Kind: Prefix, Text: fmt.Sprintf("/etc/%x/file", i*7919), Mask: met(0, i%64)})
	}
	heap := func() int64 {
		runtime.GC()
		runtime.GC() // also what the first has finalized
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	s, err := New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	used := heap() - before
	tables := int64(2*len(s.Next)) + int64(unsafe.Sizeof(Clauses{}))*int64(len(s.Seen)+len(s.End))
	if used > tables*5/4 {
		t.Errorf("%d bytes of tables take %d", tables, used)
	}
	runtime.KeepAlive(patterns)
}

func TestTooLarge(t *testing.T) {
	if _, err := New([]Pattern{{strings.Repeat("x", MaxStates), Contains, met(0, 0)}}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too many states: %v", err)
	}
	var all strings.Builder
	for c := range MaxClasses {
		all.WriteByte(byte(c))
	}
	if _, err := New([]Pattern{{all.String(), Contains, met(0, 0)}}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too many classes: %v", err)
	}
}

func BenchmarkMatch(b *testing.B) {
	set, err := New([]Pattern{{"/etc/shadow", Exact, met(0, 0)}, {"/etc/", Prefix, met(1, 1)}, {"/.ssh/", Contains, met(3, 3)}})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		set.Match("/usr/lib/x86_64-linux-gnu/libc.so.6")
	}
}
