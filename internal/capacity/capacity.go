// Package capacity answers how much load a sensor takes under a limit before
// it loses events. For each limit it starts or settles the sensor under it
// (package limit), searches the highest load without loss in rounds of package
// bench, confirms it in a long round, and says what the limiting factor was.
//
// Deciding is pure and separate from doing: Search sees outcomes, Judge and
// Explain see round records, Recommend, Compare and the reports see results.
// Sweep is the part that acts, through the interfaces Rig and Bench, and
// restores everything on every way out.
package capacity

import (
	"fmt"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/human"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/capacity/limit"
)

// Schema is the version of Result's JSON form.
const Schema = 1

// Result is everything that one capacity run has found: the report and every
// later question are answered from it alone.
type Result struct {
	Schema      int         `json:"schema"`
	Started     time.Time   `json:"started"`
	Ended       time.Time   `json:"ended"`
	Command     []string    `json:"command"` // repeats the run
	Partial     bool        `json:"partial,omitempty"`
	Sensor      Sensor      `json:"sensor"`
	Environment Environment `json:"environment"`
	Method      Method      `json:"method"`
	Rows        []Row       `json:"rows"` // in the order in which they were measured
	Notes       []string    `json:"notes,omitempty"`

	Recommendation *Recommendation `json:"recommendation,omitempty"`
}

// Measured says whether there is anything to report: a round of any row.
func (r *Result) Measured() bool {
	for i := range r.Rows {
		if len(r.Rows[i].Trials) > 0 {
			return true
		}
	}
	return false
}

// Sensor is what was measured.
type Sensor struct {
	Kind    string   `json:"kind"` // embedded, falco, running
	Name    string   `json:"name"` // for people: "Falco 0.44.1"
	Command []string `json:"command,omitempty"`
	Rules   []string `json:"rules,omitempty"`  // files, or the names of embedded sets
	SHA256  string   `json:"sha256,omitempty"` // of rules and configuration together
}

// Method is how it was measured.
type Method struct {
	Load    Load     `json:"load"`
	Actions []string `json:"actions"`
	Plan    Plan     `json:"plan"`
	Repeat  int      `json:"repeat"`
	Seed    uint64   `json:"seed"`
}

// Row is the search under one limit.
type Row struct {
	Limit  limit.Limit `json:"limit"`
	Repeat int         `json:"repeat"` // 1, 2, ... of the same limit
	Place  string      `json:"place"`
	Status Status      `json:"status"`
	Error  string      `json:"error,omitempty"`

	// NDR (no-drop rate) and PDR (partial-drop rate) are in operations per
	// second of the load: actions plus background syscalls.
	NDR Bound `json:"ndr"`
	PDR Bound `json:"pdr"`

	// Syscalls is the row's answer: events per second that the sensor saw in
	// the clean round, mean over its plateau. EPS is the actions per second
	// whose alerts all arrived in it.
	Syscalls float64 `json:"syscalls_per_second"`
	EPS      float64 `json:"eps"`
	// PreDrop is the method document's reading: events per second in the
	// failing round before its first drop; 0 if there was none.
	PreDrop float64 `json:"pre_drop_syscalls_per_second,omitempty"`
	// Host is our own count of the host's syscalls in the clean round, the
	// same for every sensor; HostEstimated says that it was computed from a
	// count before the rounds.
	Host          float64 `json:"host_syscalls_per_second,omitempty"`
	HostEstimated bool    `json:"host_estimated,omitempty"`

	Factor Factor   `json:"limiting_factor"`
	Noisy  []string `json:"noisy,omitempty"` // reasons to distrust the row

	Idle   *bench.Round `json:"idle,omitempty"`
	Trials []Trial      `json:"trials"`
	Clean  int          `json:"clean_trial"` // index of the trial that the answer is from; -1 for none
	Failed int          `json:"failed_trial"`
}

// Trial is one round of a search, with what was decided about it.
type Trial struct {
	Phase   Phase       `json:"phase"`
	Target  float64     `json:"target"` // operations per second
	Verdict Verdict     `json:"verdict"`
	Round   bench.Round `json:"round"`
	// Limits is what the place's counters have grown by in the round.
	Limits limit.Usage `json:"limits"`
}

// Status is how much the answer of a row is worth.
type Status string

// The statuses of a row.
const (
	Confirmed   Status = "confirmed"   // a long round at the rate was clean
	AtLeast     Status = "at_least"    // the generator or the machine was the limit: a lower bound, no more
	Unconfirmed Status = "unconfirmed" // the time was up before a long round was clean
	NoCapacity  Status = "no_capacity" // not even the lowest rate was clean
	Failed      Status = "failed"      // the row could not be measured
)

// CleanTrial returns the trial that the row's answer is from, nil for none.
func (r *Row) CleanTrial() *Trial { return r.trial(r.Clean) }

// FailedTrial returns the lowest trial that lost events, nil for none.
func (r *Row) FailedTrial() *Trial { return r.trial(r.Failed) }

func (r *Row) trial(i int) *Trial {
	if i < 0 || i >= len(r.Trials) {
		return nil
	}
	return &r.Trials[i]
}

// Load is the mix of a load: so many actions that rules detect to so many
// background syscalls that no rule does.
type Load struct {
	Alerts float64 `json:"alerts"`
	Others float64 `json:"others"`
}

// The two pure loads.
var (
	AlertsOnly = Load{Alerts: 1}
	NoiseOnly  = Load{Others: 1}
)

// ParseLoad reads "alerts", "noise" or a mix "1:50" of actions to other
// syscalls.
func ParseLoad(s string) (Load, error) {
	switch s {
	case "alerts":
		return AlertsOnly, nil
	case "noise":
		return NoiseOnly, nil
	}
	left, right, ok := strings.Cut(s, ":")
	a, errA := human.ParseNumber(left)
	o, errO := human.ParseNumber(right)
	if !ok || errA != nil || errO != nil || a+o == 0 {
		return Load{}, fmt.Errorf("load %q: expected alerts, noise or a mix of actions to other syscalls such as 1:50", s)
	}
	return Load{a, o}, nil
}

// Split divides a rate of operations into actions and background syscalls.
func (l Load) Split(rate float64) (actions, noise float64) {
	sum := l.Alerts + l.Others
	return rate * l.Alerts / sum, rate * l.Others / sum
}

func (l Load) String() string {
	switch {
	case l.Others == 0:
		return "alerts only"
	case l.Alerts == 0:
		return "background syscalls only"
	}
	return fmt.Sprintf("%v alerts to %v background syscalls", l.Alerts, l.Others)
}
