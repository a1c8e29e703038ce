package capacity

import (
	"fmt"
	"time"
)

// Plan holds the settings of a search. Rates are operations per second.
type Plan struct {
	Start     float64       `json:"start"`      // first rate
	Ceiling   float64       `json:"ceiling"`    // highest rate to try
	Precision float64       `json:"precision"`  // 0.05: the bounds are within 5 %
	Partial   float64       `json:"partial"`    // loss that PDR tolerates, 0.001
	Ramp      time.Duration `json:"ramp_ns"`    // length of a doubling round
	Bisect    time.Duration `json:"bisect_ns"`  // length of a bisection round
	Confirm   time.Duration `json:"confirm_ns"` // length of the confirming round
	Budget    time.Duration `json:"budget_ns"`  // for one row
	Spare     time.Duration `json:"-"`          // of the budget, for necessary rounds only: later rows can use it
	Idle      time.Duration `json:"idle_ns"`    // length of the idle round before
	WarmUp    time.Duration `json:"warm_up_ns"` // length of the round that does not count
}

// DefaultPlan ends three rows within ten minutes; QuickPlan is for a look and
// for CI.
func DefaultPlan() Plan {
	return Plan{Start: 4000, Ceiling: 16e6, Precision: 0.05, Partial: 0.001,
		Ramp: 5 * time.Second, Bisect: 8 * time.Second, Confirm: 60 * time.Second,
		Budget: 210 * time.Second, Idle: 5 * time.Second, WarmUp: 3 * time.Second}
}

// QuickPlan finds a row in about a minute, at the cost of certainty.
func QuickPlan() Plan {
	p := DefaultPlan()
	p.Precision, p.Ramp, p.Bisect, p.Confirm = 0.1, 3*time.Second, 4*time.Second, 10*time.Second
	p.Budget, p.Idle, p.WarmUp = 60*time.Second, 3*time.Second, 2*time.Second
	return p
}

// Estimate is the usual length of a row.
func (p Plan) Estimate() time.Duration {
	const settle = time.Second // drain and bookkeeping of a round
	return min(p.Budget, 6*(p.Ramp+settle)+6*(p.Bisect+settle)+p.Confirm+settle) + p.Idle + p.WarmUp + 5*time.Second
}

// String describes the plan by its times, for people.
func (p Plan) String() string {
	return fmt.Sprintf("doubling in %v rounds, bisection to %.0f %% in %v rounds, confirmation of %v",
		p.Ramp, 100*p.Precision, p.Bisect, p.Confirm)
}

// Phase is the part of a search that a trial belongs to.
type Phase string

// The phases, in their order.
const (
	Ramp    Phase = "ramp"
	Bisect  Phase = "bisect"
	Confirm Phase = "confirm"
	Partial Phase = "partial"
)
