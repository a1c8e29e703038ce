package report

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/advise"
	"github.com/peregrine-sec/peregrine/internal/capacity/diagnose"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
	"github.com/peregrine-sec/peregrine/test/support/capacitytest"
)

var update = flag.Bool("update", false, "rewrite the golden files and the screenshots")

// example is the result of a sweep over the simulated sensor: rows that are
// confirmed, and one that the generator limits.
func example(t *testing.T) *capacity.Result {
	t.Helper()
	sensor := capacitytest.Default()
	sensor.Threads, sensor.Generator = 1.4, 100e3
	rig := capacitytest.New(sensor)
	r := &capacity.Result{Schema: capacity.Schema, Started: rig.Now(),
		Command: []string{"peregrine", "capacity", "run", "--cpu", "0.25,0.5,1,2", "--actions", "^syscall.Read"},
		Sensors: []capacity.Sensor{{Kind: "embedded", Name: "simulated sensor", Rules: []string{"default"}, SHA256: "5891b5b5"}},
		Environment: capacity.Environment{Hostname: "node-1", CPU: "Example CPU 3000", CPUs: 4, Memory: 16 << 30, Kernel: "6.12.0", Arch: "amd64",
			OS: "Debian GNU/Linux 12", Clock: "tsc", Cgroup: "v2", Peregrine: "dev", LoadBefore: 0.1},
		Method: capacity.Method{Load: capacity.AlertsOnly, Actions: []string{"syscall.ReadSensitiveFileUntrusted"}, Plan: capacity.DefaultPlan(), Repeat: 1},
	}
	var limits []capacity.Limit
	for _, cpu := range []float64{0.25, 0.5, 1, 2} {
		limits = append(limits, capacity.Limit{CPU: cpu, Memory: 512 << 20})
	}
	rows, err := sweep.Run(context.Background(), sweep.Options{Variants: []sweep.Variant{{Stand: rig}}, Limits: limits, Load: capacity.AlertsOnly,
		Plan: r.Method.Plan, Repeat: 1, Total: 12 * time.Minute, Now: rig.Now})
	if err != nil {
		t.Fatal(err)
	}
	r.Rows, r.Ended = rows, rig.Now()
	diagnose.Complete(r)
	seen, err := advise.Observe("production.prom", map[string][]float64{"a": {30e3, 60e3, 90e3}, "b": {75e3}})
	if err != nil {
		t.Fatal(err)
	}
	r.Recommendation, err = advise.Recommend(r.Findings.Curves[0], rows, seen, map[string][]float64{"m5.large": {90e3, 75e3}, "m5.4xlarge": {700e3}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// several is the result of two sensors, of which the faster one meets the
// generator's limit.
func several(t *testing.T) *capacity.Result {
	t.Helper()
	r := example(t)
	r.Recommendation = nil
	for i := range r.Rows {
		r.Rows[i].Sensor = "new"
	}
	sensor := capacitytest.Default()
	sensor.EventsPerCPU, sensor.Generator = 40e3, 100e3
	rig := capacitytest.New(sensor)
	var limits []capacity.Limit
	for _, row := range r.Rows {
		limits = append(limits, row.Limit)
	}
	rows, err := sweep.Run(context.Background(), sweep.Options{Variants: []sweep.Variant{{Name: "old", Stand: rig}}, Limits: limits, Load: capacity.AlertsOnly,
		Plan: r.Method.Plan, Repeat: 1, Total: 12 * time.Minute, Now: rig.Now})
	if err != nil {
		t.Fatal(err)
	}
	r.Rows = append(r.Rows, rows...)
	r.Sensors = []capacity.Sensor{{Variant: "new", Kind: "falco", Name: "Falco 0.44.1"}, {Variant: "old", Kind: "falco", Name: "Falco 0.40.0"}}
	diagnose.Complete(r)
	return r
}

func TestSeveral(t *testing.T) {
	r := several(t)
	for _, format := range []Format{Text, Markdown} {
		golden(t, "several."+string(format), render(t, format, r))
	}
	page := render(t, HTML, r)
	for _, want := range []string{"At 1 CPU new takes", "Sensors count differently", `"label":"operations/s"`, `"name":"new, bounds","color":"accent","dash":[6,4]`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// The CPUs of a sensor are shown for each limit where they differ.
func TestPlaces(t *testing.T) {
	row := func(cpu float64, place string) capacity.Row {
		return capacity.Row{Limit: capacity.Limit{CPU: cpu, Memory: 512 << 20}, Place: place}
	}
	const apart, shared = "cgroup v2 /c, sensor on CPU 3, load on CPU 0,1,2", "cgroup v2 /c, sharing all CPUs with the load"
	for want, rows := range map[string][]capacity.Row{
		"":    {row(1, "")},
		apart: {row(0.5, apart), row(1, apart)},
		apart + " (0.5 CPU, 512Mi; 1 CPU, 512Mi); " + shared + " (4 CPU, 512Mi)": {row(0.5, apart), row(1, apart), row(1, apart), row(4, shared)},
	} {
		if got := places(&capacity.Result{Rows: rows}); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if text := render(t, Text, example(t)); !strings.Contains(text, "- the sensor's place: simulation") {
		t.Errorf("the report does not say it:\n%s", text)
	}
}

// Prose and tables fit a terminal; commands are for copying.
// On a terminal the headline's colour shows its confidence, and nothing else
// differs from the text.
func TestTerminalColors(t *testing.T) {
	r := example(t)
	r.Findings.Headline = capacity.Headline{Text: "sure", Confirmed: true}
	show := func(format Format) string {
		var b bytes.Buffer
		if err := Write(&b, format, r); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	const green, yellow, off = "\x1b[1;32m", "\x1b[1;33m", "\x1b[0m"
	if text := show(Terminal); !strings.Contains(text, green+"sure"+off) || strings.Contains(text, yellow) {
		t.Errorf("confirmed:\n%q", text)
	}
	r.Findings.Headline.Caveats = []string{"forced"}
	text := show(Terminal)
	if !strings.Contains(text, yellow+"sure"+off) || !strings.Contains(text, yellow+"! forced"+off) {
		t.Errorf("with a caveat:\n%q", text)
	}
	if bare := strings.NewReplacer(yellow, "", off, "").Replace(text); bare != show(Text) {
		t.Errorf("colours changed the text:\n%s", cmp.Diff(show(Text), bare))
	}
}

func TestTextFits(t *testing.T) {
	for _, r := range []*capacity.Result{example(t), several(t)} {
		text, _, _ := strings.Cut(render(t, Text, r), "\nRepeat with")
		for line := range strings.Lines(text) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > width {
				t.Errorf("%d columns: %s", n, line)
			}
		}
	}
}

// golden compares text with a file in testdata, or rewrites the file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; rewrite with -update):\n%s", name, diff)
	}
}

func render(t *testing.T, format Format, r *capacity.Result) string {
	t.Helper()
	var out bytes.Buffer
	if err := Write(&out, format, r); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestGolden(t *testing.T) {
	r := example(t)
	for _, format := range []Format{Text, Markdown, CSV} {
		golden(t, "sample."+string(format), render(t, format, r))
	}
}

func TestPartialAndFailed(t *testing.T) {
	r := example(t)
	r.Partial, r.Recommendation = true, nil
	r.Rows = r.Rows[:2]
	r.Rows[0].Status, r.Rows[0].Clean = capacity.NoCapacity, -1
	r.Rows[1].Status, r.Rows[1].Error, r.Rows[1].Clean, r.Rows[1].Trials, r.Rows[1].Failed = capacity.Failed, "the sensor did not start", -1, nil, -1
	diagnose.Complete(r)
	golden(t, "partial.text", render(t, Text, r))
	r.Rows = nil
	diagnose.Complete(r)
	if text := render(t, Text, r); !strings.Contains(text, "Nothing was measured") {
		t.Errorf("no rows:\n%s", text)
	}
	render(t, HTML, r)
}

func TestRepeats(t *testing.T) {
	r := example(t)
	row := r.Rows[1]
	for i := range 5 {
		again := row
		again.Repeat, again.Syscalls = i+2, row.Syscalls*(1+float64(i)/100)
		r.Rows = append(r.Rows, again)
	}
	diagnose.Complete(r)
	if text := render(t, Text, r); !strings.Contains(text, "97 % of 6)") {
		t.Errorf("six repeats have no interval:\n%s", text)
	}
}

func TestJSONRoundTrip(t *testing.T) {
	r := example(t)
	var back capacity.Result
	if err := json.Unmarshal([]byte(render(t, JSON, r)), &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, &back); diff != "" {
		t.Errorf("a result read back differs (-written +read):\n%s", diff)
	}
	for _, format := range Formats {
		if a, b := render(t, format, r), render(t, format, &back); a != b {
			t.Errorf("the %s report of the result read back differs", format)
		}
	}
}

func TestCSVReads(t *testing.T) {
	records, err := csv.NewReader(strings.NewReader(render(t, CSV, example(t)))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != 5 || len(records[0]) != len(csvHeader) {
		t.Errorf("%d lines of %d columns", len(records), len(records[0]))
	}
}

func TestUnknownFormat(t *testing.T) {
	if err := Write(&bytes.Buffer{}, "pdf", example(t)); err == nil || !strings.Contains(err.Error(), "markdown") {
		t.Errorf("pdf: %v", err)
	}
}

// Text from the measured host must stay text.
func TestHostileNames(t *testing.T) {
	r := example(t)
	const evil = `</script><script>alert(1)</script><img src=x onerror=alert(1)>|*x*`
	r.Sensors[0].Name, r.Environment.Hostname, r.Environment.CPU, r.Rows[0].Factor.Evidence = evil, evil, evil, evil
	r.Rows[0].Trials[0].Round.Actions[0].Rule = evil
	r.Rows[0].Trials[0].Verdict.Reasons = []string{evil}
	r.Rows[0].Trials[0].Phase = evil
	r.Command = []string{"peregrine", evil}
	for _, format := range []Format{HTML, Markdown} {
		text, _, _ := strings.Cut(render(t, format, r), "Repeat with `") // code is shown as it is
		if strings.Contains(text, "<script>alert") || strings.Contains(text, "<img") {
			t.Errorf("%s lets markup through", format)
		}
	}
}

// The page needs nothing from elsewhere.
func TestSelfContained(t *testing.T) {
	text := render(t, HTML, example(t))
	for _, tag := range []string{"src=\"http", "href=\"http", "@import", "url(http", "<link"} {
		if strings.Contains(text, tag) {
			t.Errorf("the page refers to something outside: %s", tag)
		}
	}
	if !strings.Contains(text, "default-src 'none'") {
		t.Error("the page has no content security policy")
	}
	if len(text) > 1<<20 {
		t.Errorf("the page has %d bytes", len(text))
	}
}
