// Package bench measures a sensor in rounds of load. One round: the generator
// performs actions on an open-loop schedule, alerts are matched to the action
// instances that caused them, the sensor's stats and process are sampled, and
// all of it becomes one Round.
//
// A Session owns the running parts (alert collector, stats poller, sampler);
// Round values are plain data. The sensor is known only through
// internal/bench/target: its alerts, its stats and its process.
package bench

import (
	"slices"

	"github.com/peregrine-sec/peregrine/internal/bench/match"
	"github.com/peregrine-sec/peregrine/internal/bench/usage"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
)

// RoundSchema is the version of Round's JSON form. It grows with each change
// that a reader of older versions would misunderstand.
const RoundSchema = 1

// Round is the record of one round. Times are ns since the epoch, rates are
// per second, CPU is in CPUs (1 = one core).
type Round struct {
	Schema int    `json:"schema"`
	Number int    `json:"round"`
	Label  string `json:"label,omitempty"` // the caller's name for the round: "confirm", "warm-up"

	Start    int64 `json:"start"`     // start of the load window
	End      int64 `json:"end"`       // end of the load window
	DrainEnd int64 `json:"drain_end"` // end of waiting for alerts and drops
	// Partial says that the round was interrupted before its time.
	Partial bool `json:"partial,omitempty"`

	Rate    Rate           `json:"rate"`
	Actions []ActionResult `json:"actions"`
	Total   Score          `json:"total"`
	Alerts  AlertCounts    `json:"alerts"`
	// Loss is the share of actions done without an alert, with its interval.
	Loss Loss `json:"loss"`

	// Latency is from the event to the receipt of its alert, Response from the
	// planned time of the action to the receipt.
	Latency  match.Quantiles `json:"latency"`
	Response match.Quantiles `json:"response"`
	Queue    Queue           `json:"queue"`
	// LatencyCurve is the whole distribution of Latency: see match.Histogram.Curve.
	LatencyCurve []int64 `json:"latency_curve_ns,omitempty"`

	Sensor   *SensorStats  `json:"sensor,omitempty"`   // nil without stats
	Usage    *usage.Window `json:"usage,omitempty"`    // nil without a pid
	Observer Observer      `json:"observer"`           // bench's own load
	Syscalls *HostCount    `json:"syscalls,omitempty"` // nil unless counted

	Flags    []Flag    `json:"flags,omitempty"`
	Findings []Finding `json:"findings,omitempty"`
	// Samples are the sensor's samples of the round and its drain.
	Samples []sensorstats.Sample `json:"samples,omitempty"`
}

// Rate holds the target rate of the generator and its actual rates.
type Rate struct {
	Target    float64 `json:"target"`    // actions per second asked for; 0 = as fast as possible
	Offered   float64 `json:"offered"`   // started
	Completed float64 `json:"completed"` // done without error
	// Lateness is from an action's planned time to its start.
	Lateness match.Quantiles `json:"lateness"`

	NoiseTarget  float64 `json:"noise_target,omitempty"` // syscalls per second
	NoiseOffered float64 `json:"noise_offered,omitempty"`
}

// Score counts the instances of one action, or of all, by their result.
type Score = match.Score

// ActionResult is one action's part of a round.
type ActionResult struct {
	Name  string `json:"name"`
	Rule  string `json:"rule"`
	Score `json:"counts"`
	Loss  Loss `json:"loss"`
	// Cost is the time from an instance's start to its end, under this load.
	Cost     match.Quantiles `json:"cost"`
	CostMean float64         `json:"cost_mean_ns"`
	Latency  match.Quantiles `json:"latency"`
	Response match.Quantiles `json:"response"`
	// Errnos counts the errors of failed instances by name ("EACCES").
	Errnos map[string]uint64 `json:"errnos,omitempty"`
}

// AlertCounts counts the received alerts by class. Received is the sum of the
// others.
type AlertCounts struct {
	Received  int `json:"received"`
	Matched   int `json:"matched"`
	Duplicate int `json:"duplicate"`
	// Foreign alerts carry an expected rule, but were caused by another process.
	Foreign int `json:"foreign"`
	// Earlier alerts belong to instances of earlier rounds.
	Earlier int `json:"earlier"`
	// Failed alerts belong to instances that reported an error.
	Failed int `json:"failed"`
	// Other alerts are of rules that no selected action fires.
	Other     int    `json:"other"`
	Malformed uint64 `json:"malformed"`
	// MalformedError is the newest reason for Malformed.
	MalformedError string `json:"malformed_error,omitempty"`
}

// Loss is a share with its 95 % confidence interval (Wilson; rule of three
// for the upper bound when nothing was lost). All are fractions of 1.
type Loss struct {
	Lost  int     `json:"lost"`
	Of    int     `json:"of"`
	Share float64 `json:"share"`
	Lower float64 `json:"lower"`
	Upper float64 `json:"upper"`
}

// Queue says whether alerts piled up between sensor and bench.
type Queue struct {
	// FirstP99 and LastP99 are the p99 latency of the first and last third of
	// the load window, in ns.
	FirstP99 int64 `json:"first_p99_ns"`
	LastP99  int64 `json:"last_p99_ns"`
	// Drain is from the end of the load to the last alert matched, in ns.
	Drain  int64 `json:"drain_ns"`
	Stable bool  `json:"stable"`
}

// SensorStats holds the sensor's own counters of a round. The plateau is the
// set of samples wholly within the settled load window.
type SensorStats struct {
	Plateau     int     `json:"plateau_samples"`
	EventsMean  float64 `json:"events_mean"` // events per second, dropped ones included
	EventsMin   float64 `json:"events_min"`
	EventsMax   float64 `json:"events_max"`
	EventsSD    float64 `json:"events_sd"`
	PreDropMean float64 `json:"pre_drop_mean,omitempty"` // mean before the first drop, if any dropped

	// Totals cover the load window and the drain, where drops may surface.
	Events         uint64             `json:"events"`
	Drops          uint64             `json:"drops"`
	DropPercent    float64            `json:"drop_pct"`
	ByCause        sensorstats.Causes `json:"drops_by_cause"`
	OutputsDropped uint64             `json:"outputs_dropped"`
	Throttled      uint64             `json:"throttled"`
	Filtered       uint64             `json:"filtered"`
	Alerts         uint64             `json:"alerts"`
	// Detailed says that the sensor reports the fields after Drops at all.
	Detailed bool   `json:"detailed"`
	Missed   uint64 `json:"missed_samples,omitempty"`
}

// Observer is the load of bench itself, generator excluded.
type Observer struct {
	CPU       float64 `json:"cpu"`        // CPUs used by receiving and sampling
	Generator float64 `json:"generator"`  // CPUs used by the generator's workers
	Reads     float64 `json:"reads"`      // batches received per second
	HostIdle  float64 `json:"host_idle"`  // CPUs idle on the host, mean
	HostSteal float64 `json:"host_steal"` // CPUs taken by the hypervisor
	CPUs      int     `json:"cpus"`
}

// HostCount is our own count of the host's syscalls, the same for any sensor.
type HostCount struct {
	PerSecond float64 `json:"per_second"`
	// Estimated says that the number was not counted in this round, which would
	// cost time, but computed: the idle host's rate, plus the calibrated
	// syscalls of the actions, plus the noise.
	Estimated bool `json:"estimated"`
}

// Flag marks a round whose figures need care. Flags are stable words.
type Flag string

// The flags of a round.
const (
	GeneratorLimited Flag = "generator_limited" // offered < 95 % of the target
	DirtyBackground  Flag = "dirty_background"  // foreign alerts of our rules
	SensorRestarted  Flag = "sensor_restarted"  // counters began again
	SampleGap        Flag = "sample_gap"        // stats samples are missing
	ActionsFailed    Flag = "actions_failed"    // instances ended with an error
	Throttled        Flag = "throttled"         // the sensor withheld alerts
	OutputDrops      Flag = "output_drops"      // the sensor lost alerts after the match
	ClockStep        Flag = "clock_step"        // the wall clock was set during the round
	HostBusy         Flag = "host_busy"         // less than a tenth of the host was idle
	ShortPlateau     Flag = "short_plateau"     // fewer than three plateau samples
	SensorGone       Flag = "sensor_gone"       // the process ended
	Ambiguous        Flag = "ambiguous"         // alerts of others may stand for missing ones
	Unreadable       Flag = "unreadable"        // lines that are not alerts arrived
	Interrupted      Flag = "interrupted"
)

// Has says whether the round carries the flag.
func (r *Round) Has(f Flag) bool { return slices.Contains(r.Flags, f) }

// Finding is one sentence of diagnosis, for people.
type Finding struct {
	Code string `json:"code"` // stable word
	Text string `json:"text"`
}
