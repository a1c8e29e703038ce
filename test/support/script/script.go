// Package script runs tests that are written as files: blocks of a command, its
// input, and the output that it must have.
package script

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Block is a part of a script, up to an empty line:
//
//	command argument key=value
//	input, in any number of lines
//	----
//	output
//
// Lines that start with # before a block are comments. An empty line of the
// output is written as a single dot.
type Block struct {
	Command string
	Args    []string          // the words after the command that are not in Keys
	Keys    map[string]string // the words of the form key=value
	Input   string            // lines, each with its end
	Line    int               // where the block starts
}

const (
	divider = "----"
	blank   = "."
)

// Run runs each file that matches the pattern. Start returns the function that
// performs the blocks of one file, in their order. With update, the outputs are
// written to the files instead of compared.
func Run(t *testing.T, update bool, pattern string, start func(*testing.T) func(*testing.T, Block) string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts match %s (%v)", pattern, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), filepath.Ext(file)), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			perform := start(t)
			got, err := rewrite(string(text), func(b Block) string { return perform(t, b) })
			if err != nil {
				t.Fatalf("%s:%v", file, err)
			}
			if update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if line, want, is := differ(string(text), got); line > 0 {
				t.Errorf("%s:%d: got %q, want %q; all of it with -update:\n%s", file, line, is, want, got)
			}
		})
	}
}

// rewrite returns the text with the output of each block replaced by what
// perform returns.
func rewrite(text string, perform func(Block) string) (string, error) {
	var out strings.Builder
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := 0; i < len(lines); {
		if lines[i] == "" || strings.HasPrefix(lines[i], "#") {
			fmt.Fprintln(&out, lines[i])
			i++
			continue
		}
		b := parse(lines[i])
		b.Line = i + 1
		fmt.Fprintln(&out, lines[i])
		for i++; i < len(lines) && lines[i] != divider; i++ {
			b.Input += lines[i] + "\n"
			fmt.Fprintln(&out, lines[i])
		}
		if i == len(lines) {
			return "", fmt.Errorf("%d: no line %s ends the input of %q", b.Line, divider, b.Command)
		}
		fmt.Fprintln(&out, divider)
		for i++; i < len(lines) && lines[i] != ""; i++ { // the output of before
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(perform(b), "\n"), "\n") {
			if line == "" {
				line = blank
			}
			fmt.Fprintln(&out, line)
		}
	}
	return out.String(), nil
}

func parse(line string) Block {
	words := strings.Fields(line)
	b := Block{Command: words[0], Keys: map[string]string{}}
	for _, w := range words[1:] {
		if key, value, ok := strings.Cut(w, "="); ok {
			b.Keys[key] = value
		} else {
			b.Args = append(b.Args, w)
		}
	}
	return b
}

// differ returns the first line in which two texts differ, 0 if none.
func differ(want, got string) (line int, wanted, is string) {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(a), len(b)) {
		wanted, is = "", ""
		if i < len(a) {
			wanted = a[i]
		}
		if i < len(b) {
			is = b[i]
		}
		if wanted != is || i >= len(a) || i >= len(b) {
			return i + 1, wanted, is
		}
	}
	return 0, "", ""
}
