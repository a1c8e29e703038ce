package generator

import (
	"sync"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/peregrine-sec/peregrine/internal/generator/pace"
)

// Counts counts the due actions by their result.
type Counts struct {
	Offered   uint64 `json:"offered"`   // started or skipped
	Completed uint64 `json:"completed"` // without an error
	Failed    uint64 `json:"failed"`
	Skipped   uint64 `json:"skipped"`
}

// ActionResult is one action's part of a run.
type ActionResult struct {
	Name string
	Counts
	// Why is the reason of skips, or of a failure that has no errno.
	Why string
	// Errnos counts the failures by errno; 0 stands for other errors.
	Errnos map[syscall.Errno]uint64
	// Cost is from start to end of those that were done, in ns.
	Cost *hdrhistogram.Histogram `json:"-"`
}

// Result is the result of a run.
type Result struct {
	Start, End time.Time // of the schedule, and when the last worker was done
	// TargetRate is the schedule's average rate per second; 0 for closed loops.
	TargetRate float64
	// Target is how many actions were due between Start and End.
	Target uint64
	Counts
	Actions   []ActionResult          // as in Options.Actions
	Lateness  *hdrhistogram.Histogram `json:"-"` // ns from planned to start
	Instances []Instance              `json:"-"` // nil if discarded
	// ClockStep is how far the wall clock was set during the run.
	ClockStep time.Duration
	// Processes are the worker processes: each acting process was one of them or
	// a descendant.
	Processes []int `json:"-"`
	// Run is the id that the command line of the worker process carries.
	Run string `json:"-"`
	// CPU is the CPU time of all threads and children of the run.
	CPU time.Duration
}

// OfferedRate is actions started per second.
func (r *Result) OfferedRate() float64 { return r.perSecond(r.Offered) }

// CompletedRate is actions done without error per second.
func (r *Result) CompletedRate() float64 { return r.perSecond(r.Completed) }

func (r *Result) perSecond(n uint64) float64 {
	if d := r.End.Sub(r.Start).Seconds(); d > 0 {
		return float64(n) / d
	}
	return 0
}

func newResult(choices []Choice) *Result {
	r := &Result{Lateness: pace.NewHistogram()}
	for _, c := range choices {
		r.Actions = append(r.Actions, ActionResult{Name: c.Name, Errnos: map[syscall.Errno]uint64{}, Cost: pace.NewHistogram()})
	}
	return r
}

// add counts a batch of instances.
func (r *Result) add(batch []Instance) {
	for i := range batch {
		in := &batch[i]
		a := &r.Actions[in.Action]
		r.Count(in)
		a.Count(in)
		if in.Skipped {
			continue
		}
		if in.Errno != 0 {
			a.Errnos[syscall.Errno(max(in.Errno, 0))]++
		}
		pace.Record(r.Lateness, time.Duration(in.Start-in.Planned))
		pace.Record(a.Cost, time.Duration(in.End-in.Start))
	}
}

// merge adds the result of a part. Workers get numbers of their own.
func (r *Result) merge(p *part, other *Result, number uint16) {
	if r.Start.IsZero() {
		r.Start, r.End = other.Start, other.End
	}
	r.Start, r.End = span(r, other)
	r.TargetRate += other.TargetRate
	r.Target += other.Target
	r.CPU += other.CPU
	if max(other.ClockStep, -other.ClockStep) > max(r.ClockStep, -r.ClockStep) {
		r.ClockStep = other.ClockStep
	}
	r.Processes = append(r.Processes, other.Processes...)
	r.Counts.add(other.Counts)
	r.Lateness.Merge(other.Lateness)
	for i, from := range other.Actions {
		to := &r.Actions[p.indices[i]]
		to.Counts.add(from.Counts)
		to.Cost.Merge(from.Cost)
		for errno, n := range from.Errnos {
			to.Errnos[errno] += n
		}
		if from.Why != "" {
			to.Why = from.Why
		}
	}
	for i := range other.Instances {
		other.Instances[i].Worker += number * MaxWorkers
	}
	if r.Instances == nil {
		r.Instances = other.Instances // millions, mostly of the only part
		return
	}
	r.Instances = append(r.Instances, other.Instances...)
}

// Count counts one instance.
func (c *Counts) Count(in *Instance) {
	c.Offered++
	switch {
	case in.Skipped:
		c.Skipped++
	case in.Errno != 0:
		c.Failed++
	default:
		c.Completed++
	}
}

func (c *Counts) add(other Counts) {
	c.Offered += other.Offered
	c.Completed += other.Completed
	c.Failed += other.Failed
	c.Skipped += other.Skipped
}

// newMutexSink lets several senders use a sink, one at a time.
func newMutexSink(sink func([]Instance)) func([]Instance) {
	if sink == nil {
		return nil
	}
	var mu sync.Mutex
	return func(batch []Instance) {
		mu.Lock()
		defer mu.Unlock()
		sink(batch)
	}
}
