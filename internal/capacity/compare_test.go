package capacity_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/limit"
)

func runs(perRow float64, rates ...float64) []capacity.Result {
	r := capacity.Result{}
	for _, rate := range rates {
		r.Rows = append(r.Rows, capacity.Row{Limit: limit.Limit{CPU: 1}, Syscalls: rate,
			NDR: capacity.Bound{Lower: rate / perRow, Upper: rate / perRow * 1.05}})
	}
	return []capacity.Result{r}
}

func TestCompare(t *testing.T) {
	base := runs(4, 100, 101, 102, 103, 104)
	for name, test := range map[string]struct {
		b    []capacity.Result
		want capacity.Change
	}{
		"same":       {runs(4, 100, 101, 102, 103, 104), capacity.Same},
		"better":     {runs(4, 120, 121, 122, 123, 124), capacity.Better},
		"worse":      {runs(4, 80, 81, 82, 83, 84), capacity.Worse},
		"noisy":      {runs(4, 50, 90, 112, 140, 180), capacity.Unsure},
		"slightly":   {runs(4, 104, 105, 105.5, 106, 107), capacity.Same},
		"one, worse": {runs(4, 70), capacity.Worse},
		"one, near":  {runs(4, 96.5), capacity.Unsure},
		"missing":    {nil, capacity.Missing},
	} {
		got := capacity.Compare(base, test.b)
		if len(got.Rows) != 1 || got.Rows[0].Change != test.want || got.Verdict != test.want {
			t.Errorf("%s: %+v, want %s", name, got, test.want)
		}
	}
}

func TestComparable(t *testing.T) {
	a, b := runs(4, 100), runs(4, 100)
	b[0].Environment.Kernel = "5.8"
	if got := capacity.Compare(a, b); len(got.Notes) != 1 {
		t.Errorf("notes %q, want one on the kernel", got.Notes)
	}
	a, b = runs(4, 100), runs(4, 96)
	a[0].Sensor = capacity.Sensor{SHA256: "1", Command: []string{"s", "-s", "a/sensor-stats.json"}}
	b[0].Sensor = capacity.Sensor{SHA256: "2", Command: []string{"s", "-s", "b/sensor-stats.json", "-r", "x.yaml"}}
	want := []string{"set of rules or configuration differs: 1 and 2", "only the sensor of B had -r x.yaml"}
	if diff := cmp.Diff(want, capacity.Compare(a, b).Notes); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
	b = runs(4, 90)
	b[0].Rows[0].NDR.Upper = 30
	if got := capacity.Compare(runs(4, 100), b); got.Verdict != capacity.Unsure || !strings.Contains(strings.Join(got.Notes, ""), "--repeat 4") {
		t.Errorf("%s with notes %q: want what to do", got.Verdict, got.Notes)
	}
}
