package run

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/report"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

// A result of another machine cannot control the terminal, and none of its text
// is lost.
func TestLoadNeutralises(t *testing.T) {
	const evil = "Falco\x1b]0;owned\x07\n\u202e×–"
	r := result(1)
	r.Sensors = []capacity.Sensor{{Name: evil, Command: []string{evil}}}
	r.Environment.Hostname, r.Notes = evil, []string{evil}
	r.Rows[0].Trials = []capacity.Trial{{Round: bench.Round{Actions: []bench.ActionResult{{Name: evil, Errnos: map[string]uint64{evil: 1}}}}}}
	dir := t.TempDir()
	if err := Save(dir, r); err != nil {
		t.Fatal(err)
	}
	got, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%+v %+v", *got, got.Rows[0].Trials)
	if strings.ContainsAny(text, "\x1b\x07\u202e") {
		t.Errorf("control characters in %q", text)
	}
	if want := "Falco.]0;owned. .×–"; got.Sensors[0].Name != want || got.Rows[0].Trials[0].Round.Actions[0].Errnos[want] != 1 {
		t.Errorf("%q", got.Sensors[0].Name)
	}
}

// Results of the first schema are still read, and fields that it left to the
// report are computed.
func TestLoadFirstSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "result.json")
	text := `{"schema":1,"sensor":{"kind":"falco","name":"Falco 0.43"},"rows":[{"limit":{"cpu":1,"memory":0},"status":"confirmed",
		"syscalls_per_second":1000,"eps":100,"ndr":{"lower":100,"upper":110},"clean_trial":-1,"failed_trial":-1,"trials":[]}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if r.Schema != capacity.Schema || r.Sensors[0].Name != "Falco 0.43" || len(r.Findings.Answers) != 1 || !r.Findings.Headline.Confirmed {
		t.Errorf("%+v", r)
	}
}

// FuzzLoad: a result file is read or refused, whatever it holds.
func FuzzLoad(f *testing.F) {
	good, err := json.Marshal(result(1))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"schema":1,"rows":[{"clean_trial":7,"failed_trial":-9,"trials":null}]}`))
	f.Add([]byte(`{"schema":2,"findings":{"answers":[{"row":99}],"curves":[{"points":[{"cpu":-1}]}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "result.json")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		leaks.Within(t, 256<<20, func() {
			r, err := Load(path)
			if err != nil {
				return
			}
			for name, format := range reports {
				if err := report.Write(io.Discard, format, r); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	})
}
