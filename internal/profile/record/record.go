// Package record makes a profile of this host: a BPF program counts the syscalls
// of all tasks, and this package reads the counts every 10 ms. It needs no
// sensor.
//
// The program is attached to sys_exit, as a sensor is: beyond the empty hook it
// costs one addition in per-CPU memory (see BenchmarkCost).
package record

import (
	"context"
	"errors"
	"math"
	"runtime"
	"time"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/internal/profile"
)

// Options set the length and the extent of a recording.
type Options struct {
	For   time.Duration // 0: until the context ends
	Paths bool          // keep the names of the most frequent paths
	// Containers leaves out the host.
	Containers bool
	// After, if set, is a time with which the windows are aligned: the first
	// begins a whole number of windows later.
	After time.Time
	// Progress, if not nil, is called every second.
	Progress func(Moment)
}

// Moment has the rates of one second.
type Moment struct {
	Elapsed         time.Duration // since the recording began
	Host, Container float64       // syscalls
	Failed          float64       // of those
	Starts          float64       // of processes
}

// recording is one Run.
type recording struct {
	kernel  *kernel
	inside  bool // only containers
	builder *profile.Builder
	samples *samples
	before  counts
	first   counts
	now     counts
	// readings are those of this window.
	readings []reading
	list     []profile.Count // of one window
}

// Run records until the time is over or ctx ends, which is no error.
func Run(ctx context.Context, o Options) (*profile.Profile, error) {
	k, err := attach(o.Containers)
	if err != nil {
		return nil, err
	}
	r := &recording{kernel: k, inside: o.Containers, builder: profile.NewBuilder(), samples: newSamples(o.Paths)}
	drained := make(chan error, 1)
	go func() { drained <- r.samples.drain(k.samples) }()
	started := time.Now()
	err = r.windows(ctx, o)
	err = errors.Join(err, k.samples.Close(), <-drained, k.close())
	if err != nil {
		return nil, err
	}
	return r.profile(started), nil
}

// windows reads the counts at the end of each slot, and of each window. One that
// was read late is longer: its counts are made those of the nominal length, so
// that bursts come out as high as they were; two or more that were missed are
// alike.
func (r *recording) windows(ctx context.Context, o Options) error {
	if since := time.Since(o.After); !o.After.IsZero() && since > 0 {
		time.Sleep(profile.Window - since%profile.Window)
	}
	if err := r.kernel.read(&r.now); err != nil {
		return err
	}
	r.first, r.before = r.now, r.now
	if _, err := r.kernel.renew(); err != nil {
		return err
	}
	start := time.Now()
	last := start
	timer := time.NewTimer(slot)
	defer timer.Stop()
	before := r.now // a second ago
	for told := start; o.For == 0 || r.builder.Elapsed() < o.For; {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if err := r.kernel.read(&r.now); err != nil {
			return err
		}
		now := time.Now()
		end := start.Add(r.builder.Elapsed() + profile.Window)
		if now.Before(end) {
			r.readings = append(r.readings, reading{now.Sub(last), r.now})
			timer.Reset(min(time.Until(end), slot-now.Sub(start)%slot))
			continue
		}
		clumps, err := r.kernel.renew()
		if err != nil {
			return err
		}
		for _, place := range r.places() {
			r.builder.Clumps(place == 1, milliseconds(clumps[place], now.Sub(last)))
		}
		r.window(now.Sub(last))
		last = now
		timer.Reset(slot)
		if since := now.Sub(told); since >= time.Second && o.Progress != nil {
			m := r.now.since(&before, since.Seconds())
			m.Elapsed = now.Sub(start)
			o.Progress(m)
			told, before = now, r.now
		}
	}
	return nil
}

// since returns the counts since an earlier reading.
func (c *counts) since(before *counts, seconds float64) (m Moment) {
	for failed := range 2 {
		for nr := range numbers {
			host := float64(c.Calls[0][failed][nr] - before.Calls[0][failed][nr])
			container := float64(c.Calls[1][failed][nr] - before.Calls[1][failed][nr])
			m.Host += host / seconds
			m.Container += container / seconds
			m.Failed += float64(failed) * (host + container) / seconds
		}
	}
	m.Starts = float64(c.Forks[0]+c.Forks[1]-before.Forks[0]-before.Forks[1]) / seconds
	return m
}

// window adds the counts since the last reading.
func (r *recording) window(length time.Duration) {
	windows := max(1, int(math.Round(float64(length)/float64(profile.Window))))
	scale := float64(profile.Window) / float64(length)
	r.readings = append(r.readings, reading{length, r.now})
	r.list = r.list[:0]
	add := func(name string, container, failed int, of func(*counts) uint64) {
		n := of(&r.now) - of(&r.before)
		if n == 0 || name == "" {
			return
		}
		slots := r.slots
		if profile.Watched(name) {
			slots = r.whole
		}
		r.list = append(r.list, profile.Count{Syscall: name, Container: container == 1, Failed: failed == 1, Calls: float64(n) * scale, Slots: slots(of, scale)})
	}
	for _, container := range r.places() {
		for failed := range 2 {
			for nr, name := range names {
				add(name, container, failed, func(c *counts) uint64 { return c.Calls[container][failed][nr] })
			}
		}
		// These do not return.
		add("exit_group", container, 0, func(c *counts) uint64 { return c.Exits[container] })
		add("exit", container, 0, func(c *counts) uint64 { return c.ThreadExits[container] })
		if runtime.GOARCH == "arm64" { // nor does execve here: start_thread forgets the number
			add("execve", container, 0, func(c *counts) uint64 { return c.Execs[container] })
		}
	}
	r.before, r.readings = r.now, r.readings[:0]
	for range windows {
		r.builder.Add(r.list)
	}
}

// places are those that are recorded: 0 for the host, 1 for containers.
func (r *recording) places() []int {
	if r.inside {
		return []int{1}
	}
	return []int{0, 1}
}

func (r *recording) profile(started time.Time) *profile.Profile {
	p := r.builder.Profile()
	p.Source = profile.Source{Kind: profile.FromKernel, Started: started.UTC().Truncate(time.Second), Nodes: 1,
		Kernel: procfs.Host.Kernel(), Arch: runtime.GOARCH, CPUs: runtime.NumCPU()}
	seconds := r.builder.Elapsed().Seconds()
	if seconds == 0 {
		return p
	}
	perSecond := func(of func(*counts) [2]uint64) float64 {
		var n uint64
		for _, place := range r.places() {
			n += of(&r.now)[place] - of(&r.first)[place]
		}
		return math.Round(float64(n)/seconds*1000) / 1000
	}
	p.Processes = &profile.Processes{
		Forks:   perSecond(func(c *counts) [2]uint64 { return c.Forks }),
		Threads: perSecond(func(c *counts) [2]uint64 { return c.Threads }),
		Execs:   perSecond(func(c *counts) [2]uint64 { return c.Execs }),
		Exits:   perSecond(func(c *counts) [2]uint64 { return c.Exits }),
	}
	r.samples.complete(p)
	return p
}
