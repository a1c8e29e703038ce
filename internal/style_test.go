package internal

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// unclear lists phrases that read as translated, or mean two things.
var unclear = regexp.MustCompile(`(?i)\b(of ours|of theirs|whoever|so often|dear|dearer|has it not|have it not|that (is|are) none|if there (is|are) none|when there is none|sees? to it|stands? for itself|nobody (has|reads?|read|else)|the begin( |\.|,|$))\b`)

// The project's own texts avoid unclear phrases, and files and functions are
// short enough to read.
func TestStyle(t *testing.T) {
	list, err := exec.Command("git", "ls-files", "-z", "..").Output()
	needs.That(t, "a git repository", err)
	for _, path := range strings.Split(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		switch filepath.Ext(path) {
		case ".go", ".c", ".h", ".md", ".yaml", ".txt", ".sh":
		default:
			continue
		}
		base := filepath.Base(path)
		if strings.Contains(path, "testdata/") || base == "vmlinux.h" || base == "style_test.go" {
			continue
		}
		text, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			continue // removed, and not yet committed
		} else if err != nil {
			t.Fatal(err)
		}
		lines := bytes.Split(text, []byte("\n"))
		for i, line := range lines {
			if m := unclear.Find(line); m != nil {
				t.Errorf("%s:%d: reword %q", path, i+1, m)
			}
		}
		if strings.HasSuffix(base, "_test.go") {
			testHabits(t, path, lines)
		}
		generated := strings.HasSuffix(base, "_gen.go") || bytes.Contains(lines[0], []byte(" Code generated "))
		switch ext := filepath.Ext(path); {
		case generated || ext != ".go" && ext != ".c" && ext != ".h":
		case len(lines) > 501 && !strings.HasSuffix(base, "_test.go"), len(lines) > 601:
			t.Errorf("%s has %d lines, more than 500, or 600 of tests", path, len(lines)-1)
		case ext == ".go":
			goFunctions(t, path, text)
		default:
			cFunctions(t, path, lines)
		}
	}
}

// lookedFor matches a skip for want of something that package needs declares.
var lookedFor = regexp.MustCompile(`\bSkipf?\((err\)|.*\b([Nn]eeds?|root)\b)`)

// testHabits checks that a test says what a pause is for, which must not be
// synchronisation, and leaves prerequisites to package needs, which fails in CI.
func testHabits(t *testing.T, path string, lines [][]byte) {
	t.Helper()
	for i, line := range lines {
		if bytes.Contains(line, []byte("time.Sleep(")) && !bytes.Contains(line, []byte("//")) {
			t.Errorf("%s:%d: say what the sleep is for (load, pace), or wait for an event, or with needs.Eventually", path, i+1)
		}
		if m := lookedFor.Find(line); m != nil {
			t.Errorf("%s:%d: %s: use package needs, which fails in CI instead of skipping", path, i+1, m)
		}
	}
}

// goFunctions checks that functions outside tests fit on a screen.
func goFunctions(t *testing.T, path string, text []byte) {
	t.Helper()
	if strings.HasSuffix(path, "_test.go") {
		return
	}
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, text, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			if n := files.Position(f.End()).Line - files.Position(f.Pos()).Line + 1; n > 80 {
				t.Errorf("%s: %s has %d lines, more than 80", path, f.Name.Name, n)
			}
		}
	}
}

// cFunctions checks the same for C: a function's body ends at a brace in the
// first column.
func cFunctions(t *testing.T, path string, lines [][]byte) {
	t.Helper()
	start := -1
	for i, line := range lines {
		switch {
		case bytes.HasPrefix(line, []byte("{")):
			start = i - 1
		case bytes.HasPrefix(line, []byte("}")) && start >= 0:
			if n := i - start + 1; n > 80 {
				t.Errorf("%s:%d: a function has %d lines, more than 80", path, start+1, n)
			}
			start = -1
		}
	}
}
