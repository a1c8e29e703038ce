package script

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

const sample = `# a comment, and nothing else

add one two base=10
three
# four

five
----
an old output
of two lines

# the next
empty
----
`

func TestRewrite(t *testing.T) {
	var seen []Block
	got, err := rewrite(sample, func(b Block) string {
		seen = append(seen, b)
		if b.Command == "empty" {
			return ""
		}
		return "new\n\nlines\n"
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []Block{
		{Command: "add", Args: []string{"one", "two"}, Keys: map[string]string{"base": "10"}, Input: "three\n# four\n\nfive\n", Line: 3},
		{Command: "empty", Keys: map[string]string{}, Line: 13},
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
	replaced := strings.Replace(sample, "an old output\nof two lines\n", "new\n.\nlines\n", 1) + ".\n"
	if diff := cmp.Diff(replaced, got); diff != "" {
		t.Error(diff)
	}
	again, err := rewrite(got, func(b Block) string {
		if b.Command == "empty" {
			return ""
		}
		return "new\n\nlines\n"
	})
	if err != nil || again != got {
		t.Errorf("not stable (%v): %s", err, cmp.Diff(got, again))
	}
}

func TestRewriteErrors(t *testing.T) {
	_, err := rewrite("# c\ncommand\ninput\n", func(Block) string { return "" })
	if err == nil || !strings.HasPrefix(err.Error(), "2: no line ----") {
		t.Errorf("error %v", err)
	}
}

func TestDiffer(t *testing.T) {
	for _, tt := range []struct {
		want, got string
		line      int
	}{
		{"a\nb\n", "a\nb\n", 0},
		{"a\nb\n", "a\nc\n", 2},
		{"a\n", "a\nb\n", 2},
		{"a\nb\n", "a\n", 2},
		{"a\n", "a", 2},
	} {
		if line, _, _ := differ(tt.want, tt.got); line != tt.line {
			t.Errorf("%q and %q differ in line %d, want %d", tt.want, tt.got, line, tt.line)
		}
	}
}

// Each file has a state of its own, and update writes what the blocks print.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"one.txt", "two.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("count\n----\n\ncount\n----\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	start := func(*testing.T) func(*testing.T, Block) string {
		n := 0
		return func(*testing.T, Block) string { n++; return fmt.Sprint(n) }
	}
	for _, update := range []bool{true, false} {
		Run(t, update, filepath.Join(dir, "*.txt"), start)
	}
	for _, name := range []string{"one.txt", "two.txt"} {
		if got, err := os.ReadFile(filepath.Join(dir, name)); string(got) != "count\n----\n1\n\ncount\n----\n2\n" {
			t.Errorf("%s has %q, %v", name, got, err)
		}
	}
}
