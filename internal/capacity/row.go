package capacity

import (
	"github.com/peregrine-sec/peregrine/internal/bench"
)

// Row is the search under one limit.
type Row struct {
	Sensor string `json:"sensor,omitempty"` // of a comparison: the variant's name
	Limit  Limit  `json:"limit"`
	Repeat int    `json:"repeat"` // 1, 2, ... of the same limit
	Place  string `json:"place"`
	Status Status `json:"status"`
	Error  string `json:"error,omitempty"`

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

// Trial is one round of a search, with its verdict.
type Trial struct {
	Phase   Phase       `json:"phase"`
	Target  float64     `json:"target"` // operations per second
	Verdict Verdict     `json:"verdict"`
	Round   bench.Round `json:"round"`
	// Limits is the growth of the place's counters in the round.
	Limits Usage `json:"limits"`
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

// Bound is the interval of a rate found by a search. Trial numbers count from
// 0; -1 is "none".
type Bound struct {
	Lower      float64 `json:"lower"` // highest rate that passed; 0 for none
	Upper      float64 `json:"upper"` // lowest rate that failed; 0 for none
	LowerTrial int     `json:"lower_trial"`
	UpperTrial int     `json:"upper_trial"`
}

// Verdict is the decision about one round.
type Verdict struct {
	Clean   bool `json:"clean"`   // counts for NDR
	Partial bool `json:"partial"` // counts for PDR
	Limited bool `json:"generator_limited,omitempty"`
	// Marginal says that the failure may be chance and is worth another try.
	Marginal bool    `json:"marginal,omitempty"`
	Offered  float64 `json:"offered"` // operations per second
	// DropShare is the share of events that were dropped, LostShare the share of
	// actions whose alert is missing. Loss is the larger one.
	DropShare float64  `json:"drop_share"`
	LostShare float64  `json:"lost_share"`
	Reasons   []string `json:"reasons,omitempty"` // why it is not clean
}

// Loss is the share of its input that the sensor has lost.
func (v Verdict) Loss() float64 { return max(v.DropShare, v.LostShare) }

// LongFailure is the lowest long round that was not clean; nil if absent.
func (r *Row) LongFailure() *Trial {
	var lowest *Trial
	for i := range r.Trials {
		t := &r.Trials[i]
		if t.Phase == Confirm && !t.Verdict.Clean && (lowest == nil || t.Verdict.Offered < lowest.Verdict.Offered) {
			lowest = t
		}
	}
	return lowest
}

// PeakMemory is the highest resident memory in any trial, in bytes.
func (r *Row) PeakMemory() uint64 {
	var peak uint64
	for i := range r.Trials {
		if u := r.Trials[i].Round.Usage; u != nil {
			peak = max(peak, u.RSSPeak)
		}
	}
	return peak
}

// Factor is the factor that limited a row.
type Factor struct {
	Name     FactorName `json:"name"`
	Evidence string     `json:"evidence"` // the figures that say so
	Advice   string     `json:"advice"`   // remedy
}

// FactorName is a stable word for a limiting factor.
type FactorName string

const (
	FactorCPU        FactorName = "sensor CPU"
	FactorThrottling FactorName = "throttling"
	FactorRing       FactorName = "ring buffer"
	FactorOutput     FactorName = "output path"
	FactorMemory     FactorName = "memory"
	FactorMachine    FactorName = "machine"
	FactorGenerator  FactorName = "generator"
	FactorNone       FactorName = "nothing yet" // the search ended before anything did
	FactorSensor     FactorName = "sensor ended"
	FactorUnknown    FactorName = "unknown"
)
