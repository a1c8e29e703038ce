package cli

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/profile"
	"github.com/peregrine-sec/peregrine/test/support/corpus"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func writeSample(t *testing.T, name string, calls float64) string {
	t.Helper()
	b := profile.NewBuilder()
	for range 20 {
		b.Add([]profile.Count{{Syscall: "openat", Calls: calls}})
	}
	path := filepath.Join(t.TempDir(), name)
	p := b.Profile()
	p.Source.Kind, p.Source.Assumed = profile.FromKernel, []string{"assumed here"}
	if err := p.WriteFile(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestProfile(t *testing.T) {
	a, b := writeSample(t, "a.json", 10), writeSample(t, "b.json", 30)
	rates := filepath.Join(t.TempDir(), "rates.json")
	answer := `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"node":"n1"},"value":[1,"2000"]}]}}`
	if err := os.WriteFile(rates, []byte(answer), 0o600); err != nil {
		t.Fatal(err)
	}
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
		{[]string{"from", rates, "--every", "15s", "-o", filepath.Join(t.TempDir(), "from.json")}, 0, "assumed: each rate lasted 15s"},
		{[]string{"from", corpus.Captures(t)[0]}, 0, `"kind":"capture"`},
		{[]string{"from", a}, 1, "observed rates"},
		{[]string{"record", "surplus"}, ExitUsage, `unexpected argument "surplus"`},
		{[]string{"schema"}, 0, "json-schema.org"},
		{[]string{"show", "/nowhere/p.json"}, 1, "/nowhere/p.json: no such file"},
	} {
		stdout, stderr, code := command(t, append([]string{"profile"}, test.args...)...)
		if code != test.code || !strings.Contains(stdout+stderr, test.want) {
			t.Errorf("%v: exit %d, want %d with %q:\n%s%s", test.args, code, test.code, test.want, stdout, stderr)
		}
	}
}

// A profile that could not be kept is not recorded.
func TestProfileRecordOut(t *testing.T) {
	needs.Root(t)
	_, stderr, code := command(t, "profile", "record", "--for", "10000h", "--out", "/nowhere/p.json")
	if code != 1 || !strings.Contains(stderr, "/nowhere/p.json") {
		t.Errorf("exit %d: %s", code, stderr)
	}
}

func TestGenerateProfileUsage(t *testing.T) {
	a := writeSample(t, "a.json", 10)
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--scale", "2"}, ExitUsage, "need --profile"},
		{[]string{"--profile", a, "--rate", "5"}, ExitUsage, "--profile and --rate are mutually exclusive"},
		{[]string{"--profile", a, "--scale", "0"}, ExitUsage, "scale 0"},
		{[]string{"--profile", a, "--alerts", "many"}, ExitUsage, "--alerts: rate"},
		{[]string{"ReadSensitiveFileUntrusted", "--profile", a}, ExitUsage, "need a rate"},
		{[]string{"--profile", "/nowhere.json"}, 1, "/nowhere.json"},
	} {
		stdout, stderr, code := command(t, append([]string{"generate", "run"}, test.args...)...)
		if code != test.code || !strings.Contains(stdout+stderr, test.want) {
			t.Errorf("%v: exit %d, want %d with %q:\n%s%s", test.args, code, test.code, test.want, stdout, stderr)
		}
	}
}

// A workload runs for as long as it was recorded, with or without alerts on top.
func TestGenerateProfile(t *testing.T) {
	needs.Root(t)
	a := writeSample(t, "a.json", 10) // for two seconds
	for _, test := range []struct {
		args    []string
		offered string
	}{
		{[]string{"--for", "1s"}, `"target": 100,`},
		{[]string{"--scale", "3", "--for", "1s"}, `"target": 300,`},
		{[]string{"ReadSensitiveFileUntrusted", "--alerts", "20/s", "--for", "1s"}, `"target": 20,`},
	} {
		args := append([]string{"generate", "run", "--report", "-", "--state-dir", t.TempDir(), "--profile", a}, test.args...)
		stdout, stderr, code := command(t, args...)
		if code != ExitOK || !strings.Contains(stdout, test.offered) {
			t.Errorf("%v: exit %d, want a report with %s:\n%s%s", test.args, code, test.offered, stdout, stderr)
		}
	}
}

func TestWorkloadUsage(t *testing.T) {
	a := writeSample(t, "a.json", 10)
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"bench", "run", "ReadSensitiveFileUntrusted", "--scale", "2"}, "--scale needs --load"},
		{[]string{"bench", "run", "ReadSensitiveFileUntrusted", "--load", a}, "needs a rate for the actions"},
		{[]string{"bench", "run", "ReadSensitiveFileUntrusted", "--load", a, "--rate", "5", "--noise", "5"}, "are mutually exclusive"},
		{[]string{"bench", "run", "ReadSensitiveFileUntrusted", "--load", a, "--alerts", "5/s", "--scale", "-1"}, `--scale "-1": expected`},
		{[]string{"bench", "run", "ReadSensitiveFileUntrusted", "--load", "none.json", "--rate", "5"}, "none.json"},
		{[]string{"capacity", "run", "--load", "none.json"}, "none.json: no such file"},
		{[]string{"capacity", "run", "--load", "1:50", "--alert-rate", "5"}, "need a recorded workload"},
		{[]string{"capacity", "run", "--load", "1:50", "--alerts", "5/s"}, "need a recorded workload"},
		{[]string{"capacity", "run", "--load", "1:50", "--margin", "3"}, "--margin needs a recorded workload"},
	} {
		if _, stderr, code := command(t, test.args...); code != ExitUsage || !strings.Contains(stderr, test.want) {
			t.Errorf("%v: exit %d, want %d with %q:\n%s", test.args, code, ExitUsage, test.want, stderr)
		}
	}
}

// A workload is measured in its course and spread evenly, with its alerts on top.
func TestCapacityWorkload(t *testing.T) {
	a := writeSample(t, "a.json", 10)
	f := &capacityRunFlags{}
	f.load, f.alerts = a, "50/s"
	load, p, notes, err := f.workload()
	if err != nil || p == nil || f.alerts != "" {
		t.Fatal(load, p, err)
	}
	if !slices.ContainsFunc(notes, func(note string) bool { return strings.Contains(note, "differs from the recording: assumed here") }) {
		t.Errorf("what the replay cannot tell is not noted: %q", notes)
	}
	if load.Alerts != 50 || load.Others != 100 || load.Workload != "a.json" || load.Times(300) != 2 {
		t.Errorf("%+v", load)
	}
	stands := underWorkload([]namedStand{{}, {name: "falco"}}, p)
	var names []string
	for _, s := range stands {
		names = append(names, s.name)
	}
	if got := strings.Join(names, ","); got != "bursts,average,falco bursts,falco average" {
		t.Error(got)
	}
	if stands[0].options.Profile.Shape.Windows() == 0 || stands[1].options.Profile.Shape.Windows() != 0 {
		t.Error("the courses are mixed up")
	}
}

// A profile is made of a Prometheus, which is asked for its nodes' rates.
func TestProfileFromURL(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); r.URL.Path != "/api/v1/query_range" || q.Get("step") != "60" || !strings.HasPrefix(q.Get("query"), "rate(") {
			t.Errorf("asked for %s", r.URL)
		}
		fmt.Fprint(w, `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"node":"n1"},"values":[[1,"2000"],[61,"4000"]]},{"metric":{},"values":[[1,"0"]]}]}}`)
	}))
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()
	out := filepath.Join(t.TempDir(), "p.json")
	_, stderr, code := command(t, "profile", "from", server.URL, "--every", "1m", "--out", out)
	p, err := profile.ReadFile(out)
	if code != ExitOK || err != nil || p.Source.Kind != profile.FromPrometheus || p.Source.Nodes != 2 || p.Seconds != 180 || !strings.Contains(stderr, "assumed: ") {
		t.Errorf("exit %d, %v, %+v\n%s", code, err, p, stderr)
	}
	if _, stderr, code := command(t, "profile", "from", "http://me:secret@"); code != ExitUsage || strings.Contains(stderr, "secret") {
		t.Errorf("no host: exit %d\n%s", code, stderr)
	}
}
