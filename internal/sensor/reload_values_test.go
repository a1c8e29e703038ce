package sensor

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

// badValues are wrong for most keys: numbers out of all bounds, other types, and
// texts that are invalid.
var badValues = []string{
	"-1", "0", "4294967296", "5000000000000", "9223372036854775807", "18446744073709551616", "-9223372036854775808", "1e308", ".inf", ".nan",
	"0x7fffffffffffffff", "1s", "-1h", "true", "~", `""`, `"\0"`, "[]", "{}", "[[]]", "{a: {b: c}}", "[1, x, {}]", "2001-01-01", "!!binary aGVsbG8=", "<<",
}

// written is a configuration with one key: in it, a.b[].c is {a: {b: [{c: V}]}}.
func written(path, value string) string {
	parts := strings.Split(path, ".")
	for i := len(parts) - 1; i >= 0; i-- {
		name, list := strings.CutSuffix(parts[i], "[]")
		if list {
			value = "[" + value + "]"
		}
		value = "{" + name + ": " + value + "}"
	}
	return value + "\n"
}

// Whatever value a key is given, a running sensor reloads it or refuses it with
// the name of the file: it neither panics nor takes much memory, and a refusal
// changes nothing.
func TestReloadBadValues(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of reloads")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "falco.yaml")
	write(t, file, "")
	s, _ := idleSensor(t, func() (*config.Config, error) {
		return config.Load(config.Options{Path: file, Overrides: harmless(dir), Env: func(string) string { return "" }})
	})
	defer drive(t, s)()
	accepted, refused := 0, 0
	for _, key := range config.Keys() {
		for _, value := range badValues {
			text := written(key.Path, value)
			write(t, file, text)
			before := s.now()
			leaks.Within(t, 128<<20, func() {
				switch {
				case s.reload(t.Context()):
					accepted++
				case s.now() != before:
					t.Errorf("refused, and in force: %s", text)
				case !strings.Contains(s.reloads.err, file+":1:"):
					t.Errorf("%sno place in the error: %s", text, s.reloads.err)
				default:
					refused++
				}
			})
		}
	}
	t.Logf("%d accepted, %d refused", accepted, refused)
}
