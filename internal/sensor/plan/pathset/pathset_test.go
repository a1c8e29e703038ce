package pathset

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/peregrine-sec/peregrine/internal/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// naive is the model of Set.
func naive(patterns []Pattern, path string) (mask uint64) {
	for _, p := range patterns {
		ok := false
		switch p.Kind {
		case Exact:
			ok = path == p.Text
		case Prefix:
			ok = strings.HasPrefix(path, p.Text)
		case Suffix:
			ok = strings.HasSuffix(path, p.Text)
		case Contains:
			ok = strings.Contains(path, p.Text)
		}
		if ok {
			mask |= p.Mask
		}
	}
	return mask
}

func TestMatch(t *testing.T) {
	patterns := []Pattern{
		{"/etc/shadow", Exact, 1},
		{"/etc/", Prefix, 2},
		{"/.bashrc", Suffix, 4},
		{"/.ssh/", Contains, 8},
		{"s", Contains, 16},
		{"", Prefix, 32},
		{"w", Suffix, 64},
	}
	set, err := New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"", "/", "/etc", "/etc/", "/etc/shadow", "/etc/shadow2", "/x/etc/shadow", "/root/.bashrc", "/home/a/.ssh/id",
		"/etc/.ssh/.bashrc", "/etc/\xff/w", "/.ssh/", "/.bashrc/w",
	} {
		want := naive(patterns, path)
		if got := set.Match(path); got != want {
			t.Errorf("%q: %#x, want %#x", path, got, want)
		}
		if !strings.HasPrefix(path, "/") {
			continue
		}
		i := strings.LastIndexByte(path, '/')
		if got := set.MatchJoined(path[:max(i, 1)], path[i+1:]); got != want {
			t.Errorf("%q in two parts: %#x, want %#x", path, got, want)
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
			patterns = append(patterns, Pattern{
				text.Draw(t, fmt.Sprint("pattern", i)), Kind(rapid.IntRange(0, 3).Draw(t, "kind")), 1 << i,
			})
		}
		set, err := New(patterns)
		if err != nil {
			t.Fatal(err)
		}
		path := rapid.StringOfN(rapid.RuneFrom([]rune("abc/")), 0, 20, -1).Draw(t, "path")
		if got, want := set.Match(path), naive(patterns, path); got != want {
			t.Fatalf("%v on %q: %#x, want %#x", patterns, path, got, want)
		}
	})
}

func TestTooLarge(t *testing.T) {
	if _, err := New([]Pattern{{strings.Repeat("x", MaxStates), Contains, 1}}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too many states: %v", err)
	}
	var all strings.Builder
	for c := range MaxClasses {
		all.WriteByte(byte(c))
	}
	if _, err := New([]Pattern{{all.String(), Contains, 1}}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too many classes: %v", err)
	}
}

func BenchmarkMatch(b *testing.B) {
	set, err := New([]Pattern{{"/etc/shadow", Exact, 1}, {"/etc/", Prefix, 2}, {"/.ssh/", Contains, 8}})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		set.Match("/usr/lib/x86_64-linux-gnu/libc.so.6")
	}
}
