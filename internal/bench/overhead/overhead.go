// Package overhead measures how much a sensor slows down the programs it watches:
// the time of fixed mixes of syscalls, and of a real program, with and without
// the sensor, in interleaved pairs that cancel out drift of the machine.
package overhead

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/bench/target"
	"github.com/peregrine-sec/peregrine/internal/bench/usage"
	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/sample"
)

// Schema is the version of Result's JSON form.
const Schema = 1

// Options configures a measurement.
type Options struct {
	Target    target.Target // not started; it must be able to start again
	Workloads []Workload
	Pairs     int           // measurements with and without; 6 give 95 % confidence
	Duration  time.Duration // of one measurement of one workload
	CPU       int           // on which the workloads run; -1 for any
	Say       func(format string, args ...any)
}

// Result holds the measurements.
type Result struct {
	Schema int    `json:"schema"`
	Pairs  int    `json:"pairs"`
	Costs  []Cost `json:"workloads"`
	// Sensor is the sensor's own use of CPUs while the workloads ran.
	SensorCPU float64 `json:"sensor_cpu"`
	// HostIdle is how many of the CPUs were idle, which tells whether others
	// worked on the host: the workloads take one.
	HostIdle float64 `json:"host_idle"`
	CPUs     int     `json:"cpus"`
	Partial  bool    `json:"partial,omitempty"`
}

// Cost is one workload without and with the sensor. Times are ns per Unit.
type Cost struct {
	Name string `json:"name"`
	What string `json:"what"`
	Unit string `json:"unit"` // "syscall" or "run"
	// Off and On are the measurements in the order in which they were made.
	Off []float64 `json:"off"`
	On  []float64 `json:"on"`

	OffMedian float64 `json:"off_median"`
	OnMedian  float64 `json:"on_median"`
	// Added is the median of the pairs' differences, within [Low, High] at the
	// given Confidence (0 to 1).
	Added      float64 `json:"added"`
	Low        float64 `json:"added_low"`
	High       float64 `json:"added_high"`
	Confidence float64 `json:"confidence"`
	Percent    float64 `json:"percent"` // Added by OffMedian
}

// Run measures the overhead. It returns the results so far also with an error.
func Run(ctx context.Context, o Options) (*Result, error) {
	if o.Pairs < 1 || o.Duration <= 0 {
		return nil, fmt.Errorf("%d pairs of %v: expected at least one pair, and a duration above 0", o.Pairs, o.Duration)
	}
	if p, ours := o.Target.(*target.Process); ours {
		p.Tell(o.Say)
	}
	r := &Result{Schema: Schema}
	for _, w := range o.Workloads {
		c := Cost{Name: w.Name, What: w.What, Unit: "syscall"}
		if w.Syscalls == 0 {
			c.Unit = "run"
		}
		r.Costs = append(r.Costs, c)
	}
	var seen seen
	var err error
	for pair := 0; pair < o.Pairs && err == nil; pair++ {
		for _, on := range order(pair) {
			if err == nil {
				o.Say("pair %d of %d: %s the sensor", pair+1, o.Pairs, map[bool]string{true: "with", false: "without"}[on])
				err = o.half(ctx, r, on, &seen)
			}
		}
		if err == nil {
			r.Pairs++
		}
	}
	for i := range r.Costs {
		r.Costs[i].sum(r.Pairs)
	}
	r.SensorCPU = seen.sensor / max(1, float64(r.Pairs))
	r.HostIdle, r.CPUs = seen.idle/max(1, float64(seen.halves)), runtime.NumCPU()
	r.Partial = err != nil
	return r, err
}

// order says which half of a pair is with the sensor: off, on, on, off, ...:
// whatever drifts meets both alike.
func order(pair int) [2]bool { return [2]bool{pair%2 == 1, pair%2 == 0} }

// seen sums the CPU use observed in all halves, in CPUs.
type seen struct {
	halves       int
	sensor, idle float64
}

// half measures all workloads once, with or without the sensor.
func (o *Options) half(ctx context.Context, r *Result, on bool, sum *seen) (err error) {
	pid := 0
	if on {
		if err := o.Target.Start(ctx, nil); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, o.Target.Stop(context.WithoutCancel(ctx))) }()
		defer discard(ctx, o.Target.Alerts())()
		pid = o.Target.PID()
	}
	watch, err := usage.Start(pid)
	if err != nil {
		return err
	}
	defer func() {
		window, host := watch.Stop(time.Time{}, time.Time{})
		sum.halves++
		sum.idle += host.Idle
		if window != nil {
			sum.sensor += window.CPU
		}
	}()
	return pinned(o.CPU, func() error {
		for i := range o.Workloads {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			ns, err := o.Workloads[i].measure(o.Duration)
			if err != nil {
				return err
			}
			c := &r.Costs[i]
			ns /= float64(max(1, o.Workloads[i].Syscalls))
			if on {
				c.On = append(c.On, ns)
			} else {
				c.Off = append(c.Off, ns)
			}
		}
		return nil
	})
}

// discard reads and drops alerts: a sensor whose output is not read behaves
// differently.
func discard(ctx context.Context, source intake.Source) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := source.Next(ctx); err != nil {
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

// pinned calls f on a thread of one CPU, which ends with it.
func pinned(cpu int, f func() error) error {
	result := make(chan error)
	go func() {
		// Never unlocked: the thread with the changed affinity ends with the
		// goroutine.
		runtime.LockOSThread()
		if cpu >= 0 {
			var set unix.CPUSet
			set.Set(cpu)
			if err := unix.SchedSetaffinity(0, &set); err != nil {
				result <- fmt.Errorf("pin workloads to CPU %d: %w", cpu, err)
				return
			}
		}
		result <- f()
	}()
	return <-result
}

// sum computes the medians of the first n pairs.
func (c *Cost) sum(n int) {
	if n == 0 {
		return
	}
	differences := make([]float64, n)
	for i := range n {
		differences[i] = c.On[i] - c.Off[i]
	}
	c.OffMedian, c.OnMedian = sample.Median(c.Off[:n]), sample.Median(c.On[:n])
	added := sample.MedianInterval(differences)
	c.Added, c.Low, c.High, c.Confidence = added.Median, added.Low, added.High, added.Confidence
	if c.OffMedian > 0 {
		c.Percent = 100 * c.Added / c.OffMedian
	}
}

// Write writes a table for people.
func (r *Result) Write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "workload\twithout\twith\tadded\tfrom\tto\tadded\tper\t")
	for _, c := range r.Costs {
		percent := fmt.Sprintf("%+.1f%%", c.Percent)
		if c.Low <= 0 && c.High >= 0 {
			percent = "~" // the interval holds zero: no difference is shown
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", c.Name, ns(c.OffMedian), ns(c.OnMedian), ns(c.Added), ns(c.Low), ns(c.High), percent, c.Unit)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	confidence := 0.0
	if len(r.Costs) > 0 {
		confidence = r.Costs[0].Confidence
	}
	if _, err := fmt.Fprintf(w, "medians of %d interleaved pairs; from and to hold the median with %.1f%% confidence; the sensor used %.2f CPUs meanwhile\n", r.Pairs, 100*confidence, r.SensorCPU); err != nil {
		return err
	}
	if busy := float64(r.CPUs-1) - r.HostIdle; busy > 0.3*float64(r.CPUs) {
		_, err := fmt.Fprintf(w, "others kept %.1f of %d CPUs busy: measure again on a quiet host\n", busy, r.CPUs)
		return err
	}
	return nil
}

func ns(v float64) string { return human.Duration(time.Duration(v)) }
