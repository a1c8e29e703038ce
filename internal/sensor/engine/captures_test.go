package engine

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/capture"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
	"github.com/peregrine-sec/peregrine/test/support/corpus"
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
	files := corpus.Captures(t)
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

// Each rule of the corpus fires in one of its captures: none is there in vain.
func TestCorpusRulesFire(t *testing.T) {
	t.Setenv("PEREGRINE_SHARED", t.TempDir()) // not in one of Falco's
	for name, list := range ruleSets(t) {
		if !strings.HasPrefix(name, "corpus") {
			continue
		}
		var s sink
		for _, file := range corpus.Captures(t) {
			replay(t, file, newEngine(newRuleset(t, list, true, false), s.emit))
		}
		for _, r := range list {
			if !slices.Contains(s.got, r.Name) {
				t.Errorf("%s: %s does not fire", name, r.Name)
			}
		}
	}
}
