package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/profile"
)

func writeSample(t *testing.T, name string, calls float64) string {
	t.Helper()
	b := profile.NewBuilder()
	for range 20 {
		b.Add([]profile.Count{{Syscall: "openat", Calls: calls}})
	}
	path := filepath.Join(t.TempDir(), name)
	p := b.Profile()
	p.Source.Kind = profile.FromKernel
	if err := p.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestProfile(t *testing.T) {
	a, b := writeSample(t, "a.json", 10), writeSample(t, "b.json", 30)
	merged := filepath.Join(t.TempDir(), "merged.json")
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"show", a}, 0, "openat"},
		{[]string{"diff", a, b}, 0, "+200.0 %"},
		{[]string{"diff", a, b, "--format", "json"}, 0, `"change":2`},
		{[]string{"diff", a, b, "--format", "xml"}, ExitUsage, "expected text or json"},
		{[]string{"merge", a, b, "-o", merged}, 0, ""},
		{[]string{"show", merged}, 0, "200 syscalls/s"},
		{[]string{"schema"}, 0, "json-schema.org"},
		{[]string{"show", "/nowhere/p.json"}, 1, "/nowhere/p.json: no such file"},
	} {
		stdout, stderr, code := command(t, append([]string{"profile"}, test.args...)...)
		if code != test.code || !strings.Contains(stdout+stderr, test.want) {
			t.Errorf("%v: exit %d, want %d with %q:\n%s%s", test.args, code, test.code, test.want, stdout, stderr)
		}
	}
}
