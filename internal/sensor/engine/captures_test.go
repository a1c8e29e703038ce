package engine

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/capture"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

// broad are rules that match much of any capture, so that masks have something
// to get wrong.
const broad = `
- rule: Shells and their like
  desc: d
  condition: evt.type in (open, openat, read, write, mmap, close, connect, sendto) and not proc.name in (nothing)
  output: o
  priority: INFO
- rule: Libraries
  desc: d
  condition: evt.type in (open, openat) and fd.name startswith /lib
  output: o
  priority: INFO
- rule: Anything of cat and curl
  desc: d
  condition: proc.name in (cat, curl) and evt.num > 0
  output: o
  priority: INFO
- rule: Parents
  desc: d
  condition: evt.type in (close, fstat, open) and proc.pname exists and not proc.aname=sshd
  output: o
  priority: INFO
`

// Recorded streams give the same alerts with masks and without.
func TestMasksChangeNothingInCaptures(t *testing.T) {
	sets := ruleSets(t)
	sets["broad"] = load(t, []rules.Source{{Name: "broad.yaml", Content: []byte(broad)}})
	files := captures(t)
	if len(files) == 0 {
		t.Skip("the captures are not at hand")
	}
	alerts := 0
	for name, list := range sets {
		for _, file := range files {
			var masked, unmasked sink
			replay(t, file, newEngine(newRuleset(t, list, true, false), masked.emit))
			replay(t, file, newEngine(newRuleset(t, list, true, true), unmasked.emit))
			if !slices.Equal(masked.got, unmasked.got) {
				t.Errorf("%s over %s: %d alerts with masks, %d without", name, filepath.Base(file), len(masked.got), len(unmasked.got))
			}
			alerts += len(masked.got)
		}
	}
	if alerts < 100 {
		t.Errorf("only %d alerts: the captures do not reach the rules", alerts)
	}
}

func replay(t *testing.T, path string, e *Engine) {
	t.Helper()
	r, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := e.Replay(context.Background(), r.Next); err != nil {
		t.Fatal(err)
	}
}

// captures are the recorded files beside the checkout, if there are any.
func captures(t *testing.T) []string {
	t.Helper()
	dir, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		files, err := filepath.Glob(filepath.Join(dir, "shared/testdata/scap/*.scap"))
		if err != nil {
			t.Fatal(err)
		}
		if len(files) > 0 {
			return files
		}
	}
	return nil
}
