package document

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func TestRead(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"two documents", "a: 1\n---\n- b\n", ""},
		{"nothing", "", ""},
		{"only a comment", "# c\n", ""},
		{"Latin-1 in a comment", "# Sch\xf6n\na: 1 # gr\xfc\xdfe\n", ""},
		{"UTF-16", "\xff\xfea\x00:\x00 \x001\x00\n\x00", ""},
		{"byte order mark", "\ufeffa: 1\n", ""},
		{"Latin-1 in a value", "# \xf6\na: x\nb: caf\xe9\n", "3:7: a text must be UTF-8"},
		{"Latin-1 in a key", "a: x\nb\xe9: c\n", "2:2: a text must be UTF-8"},
		{"Latin-1 in quotes after a hash", "a: '# \xe9'\n", "1:7: a text must be UTF-8"},
		{"Latin-1 in a block", "a: |\n  x\n  # \xe9\n", "3:5: a text must be UTF-8"},
		{"control character", "a: b\n# x\x01\n", "2:4: the control character U+0001 is not allowed"},
		{"byte order mark inside", "a: b\n\ufeffc: d\n", "2:1: the control character U+FEFF is not allowed"},
		{"second mapping on a line", "x: y\na: b: c\n", "2:5: mapping values are not allowed"},
		{"tab", "a:\n\t- b\n", "2:1: found character that cannot start any token"},
		{"open quote", "a: 1\nb: \"x\n", "2:4: found unexpected end of stream"},
		{"open list", "a: [b,\nc: d\n", "2:4: did not find expected ',' or ']'"},
		{"unknown alias", "ä: 1\nä: *no\n", "2:4: unknown anchor 'no' referenced"},
		{"wrong indentation", "- a: b\n  c: d\n e: f\n", "3:2: did not find expected '-' indicator"},
		{"first line", "a: b: c", "1:5: mapping values are not allowed"},
	} {
		_, err := Read([]byte(tt.in))
		switch {
		case tt.want == "" && err != nil, tt.want != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// The place of every character of a damaged file must be inside the file.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{"a: [b, {c: d}]\n", "# \xe9\n- 'x'\n", "a: &x b\nc: *x\n", "\x00", "- a\n -b: c\n\t"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if len(in) > 1<<12 {
			return
		}
		_, err := Read([]byte(in))
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("%T: %v", err, err)
		}
		if lines := strings.Split(in, "\n"); err != nil && (e.Line < 1 || e.Line > len(lines) || e.Column < 1 || e.Column > len(lines[e.Line-1])+1) {
			t.Errorf("%q: %v is not in the text", in, err)
		}
	})
}

func TestShippedFilesAreRead(t *testing.T) {
	content, err := os.ReadFile("../../../rules/base.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if docs, err := Read(content); err != nil || len(docs) != 1 {
		t.Errorf("%d documents, error %v", len(docs), err)
	}
}
