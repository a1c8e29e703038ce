package report

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

// FuzzRead: a run's file is read or refused, and shown in every format,
// whatever it holds.
func FuzzRead(f *testing.F) {
	for _, text := range []string{
		`{"schema": 1, "rounds": [{"number": 1, "rate": {"target": 1e3}, "actions": [{"name": "a\u001b[2J", "counts": {"ok": -1}}]}]}`,
		`{"rounds": [{}, null, {"queue": {}, "sensor": {"events": 18446744073709551615}, "usage": {"cpu": 1e308}}]}`,
		`{"preflight": {"checks": [{"status": "odd"}]}, "calibration": {}, "ceiling": {"rate": -1}, "conditions": [{}]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "run.json"), text, 0o600); err != nil {
			t.Fatal(err)
		}
		leaks.Within(t, 128<<20, func() {
			r, err := Read(dir)
			if err != nil {
				return
			}
			for _, format := range Formats {
				if err := r.Write(io.Discard, format); err != nil {
					t.Errorf("%s: %v", format, err)
				}
			}
		})
	})
}
