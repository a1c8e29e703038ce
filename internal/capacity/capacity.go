// Package capacity answers how much load a sensor takes under a limit before it
// loses events. This package is the model of a result; its children produce it:
// search decides the next rate, sweep measures the rows, stand and limit start
// the sensor under a limit, diagnose and advise interpret the rows, run
// combines them, report shows the result.
package capacity

import (
	"fmt"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/human"
)

// Schema is the version of Result's JSON form. Version 1 had one sensor and
// left the findings to the report.
const Schema = 2

// Result is everything that one capacity run has found: the report and every
// later question are answered from it alone.
type Result struct {
	Schema      int         `json:"schema"`
	Started     time.Time   `json:"started"`
	Ended       time.Time   `json:"ended"`
	Command     []string    `json:"command"` // repeats the run
	Partial     bool        `json:"partial,omitempty"`
	Sensors     []Sensor    `json:"sensors"` // in the order in which they were named
	Environment Environment `json:"environment"`
	Method      Method      `json:"method"`
	Rows        []Row       `json:"rows"` // in the order in which they were measured
	Notes       []string    `json:"notes,omitempty"`
	Findings    Findings    `json:"findings"` // conclusions from the rows

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

// Sensor is a measured sensor.
type Sensor struct {
	Variant string   `json:"variant,omitempty"` // its name in the rows, if there are several
	Kind    string   `json:"kind"`              // embedded, falco, running
	Name    string   `json:"name"`              // for people: "Falco 0.44.1"
	Command []string `json:"command,omitempty"`
	Rules   []string `json:"rules,omitempty"`  // files, or the names of embedded sets
	SHA256  string   `json:"sha256,omitempty"` // of rules and configuration together
}

// String names the sensor, and its name in the rows.
func (s Sensor) String() string {
	if s.Variant == "" || s.Variant == s.Name {
		return s.Name
	}
	return fmt.Sprintf("%s (%s)", s.Variant, s.Name)
}

// Method is how it was measured.
type Method struct {
	Load    Load     `json:"load"`
	Actions []string `json:"actions"`
	Plan    Plan     `json:"plan"`
	Repeat  int      `json:"repeat"`
	Seed    uint64   `json:"seed"`
	Force   bool     `json:"force,omitempty"` // measured although a preflight failed
	// Margin is the multiple of a recorded workload that a limit must sustain.
	Margin float64 `json:"margin,omitempty"`
}

// Load is the mix of a load: the ratio of actions that rules detect to
// background syscalls that no rule detects. For a recorded workload these are
// its rates per second, so that operations per second divided by their sum are
// multiples of it.
type Load struct {
	Alerts   float64 `json:"alerts"`
	Others   float64 `json:"others"`
	Workload string  `json:"workload,omitempty"` // its file
	// Burst is the rate of a recorded workload in its busiest 100 ms, as a
	// multiple of its mean.
	Burst float64 `json:"burst,omitempty"`
}

// Times is a rate of operations as a multiple of the recorded workload.
func (l Load) Times(rate float64) float64 { return rate / (l.Alerts + l.Others) }

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
	return Load{Alerts: a, Others: o}, nil
}

// Split divides a rate of operations into actions and background syscalls.
func (l Load) Split(rate float64) (actions, noise float64) {
	sum := l.Alerts + l.Others
	return rate * l.Alerts / sum, rate * l.Others / sum
}

func (l Load) String() string {
	switch {
	case l.Workload != "":
		text := fmt.Sprintf("the workload %s (%s syscalls/s)", l.Workload, human.Number(l.Others))
		if l.Alerts > 0 {
			text += fmt.Sprintf(" with %s alerts/s", human.Number(l.Alerts))
		}
		return text
	case l.Others == 0:
		return "alerts only"
	case l.Alerts == 0:
		return "background syscalls only"
	}
	return fmt.Sprintf("%v alerts to %v background syscalls", l.Alerts, l.Others)
}
