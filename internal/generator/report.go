package generator

import (
	"cmp"
	"encoding/json"
	"io"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

// Quantiles sum up times in ns.
type Quantiles struct {
	P50 int64 `json:"p50"`
	P99 int64 `json:"p99"`
	Max int64 `json:"max"`
}

func quantiles(h *hdrhistogram.Histogram) Quantiles {
	return Quantiles{h.ValueAtQuantile(50), h.ValueAtQuantile(99), h.Max()}
}

// report is a Result for programs to read.
type report struct {
	Schema     int       `json:"schema"`
	Start      time.Time `json:"start"`
	End        time.Time `json:"end"`
	TargetRate float64   `json:"target_rate"`
	Target     uint64    `json:"target"`
	Counts
	OfferedRate   float64        `json:"offered_rate"`
	CompletedRate float64        `json:"completed_rate"`
	Lateness      Quantiles      `json:"lateness_ns"`
	ClockStep     int64          `json:"clock_step_ns"`
	CPU           int64          `json:"cpu_ns"`
	Actions       []actionReport `json:"actions"`
}

type actionReport struct {
	Name string `json:"name"`
	Counts
	Why    string            `json:"why,omitempty"`
	Errnos map[string]uint64 `json:"errnos,omitempty"` // by name, "EACCES"
	Cost   Quantiles         `json:"cost_ns"`
}

// reportSchema is the version of the report's form.
const reportSchema = 1

// WriteJSON writes the result without its instances.
func (r *Result) WriteJSON(w io.Writer) error {
	out := report{Schema: reportSchema, Start: r.Start, End: r.End, TargetRate: r.TargetRate, Target: r.Target, Counts: r.Counts,
		OfferedRate: r.OfferedRate(), CompletedRate: r.CompletedRate(), Lateness: quantiles(r.Lateness), ClockStep: int64(r.ClockStep), CPU: int64(r.CPU)}
	for i := range r.Actions {
		a := &r.Actions[i]
		out.Actions = append(out.Actions, actionReport{a.Name, a.Counts, a.Why, a.ErrnoNames(), quantiles(a.Cost)})
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(out)
}

// ErrnoNames counts the failures by the name of the errno, or "other"; nil for
// none.
func (a *ActionResult) ErrnoNames() map[string]uint64 {
	if len(a.Errnos) == 0 {
		return nil
	}
	names := map[string]uint64{}
	for errno, n := range a.Errnos {
		names[cmp.Or(unix.ErrnoName(errno), "other")] += n
	}
	return names
}
