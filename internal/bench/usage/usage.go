// Package usage samples the resource use of a process: CPU by kind, memory in
// its several meanings, and throttling by its cgroup. It reads /proc and
// /sys/fs/cgroup ten times a second and changes nothing.
package usage

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	linuxcgroup "github.com/peregrine-sec/peregrine/internal/linux/cgroup"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

const (
	// interval of sampling.
	interval = 100 * time.Millisecond
	// costlyEvery is how many samples share one reading of the costly values: PSS,
	// which walks all page tables under the process's mmap lock and would slow
	// the sensor down, and the clocks of all threads.
	costlyEvery = 10
	// peakSpan is the shortest time over which CPU is called a peak: the
	// kernel counts it in ticks of 10 ms.
	peakSpan = 500 * time.Millisecond
)

// Window is the use of one process over a window of time. CPU is in CPUs (1 is
// one core), memory in bytes. Cgroup figures are those of the process's own
// cgroup and zero without one.
type Window struct {
	Samples int     `json:"samples"`
	Seconds float64 `json:"seconds"`
	User    float64 `json:"cpu_user"`
	System  float64 `json:"cpu_system"`
	CPU     float64 `json:"cpu"`      // User + System, mean over the window
	CPUPeak float64 `json:"cpu_peak"` // highest of any half second
	// Waited is the time in which threads were ready to run and did not get a
	// CPU, all threads together: 1 is a second each second.
	Waited float64 `json:"cpu_waited"`

	Throttled  int64  `json:"throttled_ns"` // time the cgroup kept the process from running
	Throttles  uint64 `json:"throttles"`    // periods in which it did
	Cgroup     string `json:"cgroup,omitempty"`
	CgroupMean uint64 `json:"cgroup_memory_mean,omitempty"`
	CgroupPeak uint64 `json:"cgroup_memory_peak,omitempty"`
	OOMKills   uint64 `json:"oom_kills,omitempty"`

	RSSMean  uint64 `json:"rss_mean"`
	RSSPeak  uint64 `json:"rss_peak"`
	RSSFirst uint64 `json:"rss_first"` // first and last sample: the slope
	RSSLast  uint64 `json:"rss_last"`
	PSSPeak  uint64 `json:"pss_peak"` // of one sample a second
	Virtual  uint64 `json:"virtual"`

	// Gone says that the process ended within the window.
	Gone bool `json:"gone,omitempty"`
}

// Host is the machine and this process over the same window, in CPUs.
type Host struct {
	CPUs  int
	Idle  float64
	Steal float64 // taken by the hypervisor
	Self  float64 // used by the process that measures
}

// sample is one look at the host, and at a process.
type sample struct {
	at           time.Time
	host         procfs.CPU
	self         time.Duration // CPU time of this process
	user, system time.Duration
	waited       time.Duration // by all threads; 0 where it was not read
	rss, virtual uint64
	pss          uint64 // 0 where it was not read
	cgroup       linuxcgroup.Usage
}

// Watch is a sampling under way.
type Watch struct {
	process *process // nil without a pid
	stop    chan struct{}
	done    chan struct{}
	once    sync.Once

	samples []sample // after done
	gone    bool
}

// Start samples the process pid until Stop; 0 watches the host alone. It is an
// error if there is no such process.
func Start(pid int) (*Watch, error) {
	w := &Watch{stop: make(chan struct{}), done: make(chan struct{})}
	if pid != 0 {
		p, err := openProcess(pid)
		if err != nil {
			return nil, err
		}
		w.process = p
	}
	if w.take(); w.gone {
		w.process.close()
		return nil, fmt.Errorf("watch process %d: it has ended", pid)
	}
	go w.run()
	return w, nil
}

func (w *Watch) run() {
	defer close(w.done)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-w.stop:
			w.take()
			return
		case <-tick.C:
			w.take()
		}
	}
}

// take adds a sample; that of a process that is gone is as its last one.
func (w *Watch) take() {
	var s sample
	if w.process != nil && !w.gone {
		var err error
		s, err = w.process.read(len(w.samples)%costlyEvery == 0)
		w.gone = err != nil
	}
	if n := len(w.samples); w.gone && n > 0 {
		s = w.samples[n-1]
	}
	s.at, s.self = time.Now(), selfCPU()
	s.host, _ = procfs.Host.CPU() // without it, idle and steal stay zero
	w.samples = append(w.samples, s)
}

// Stop takes a last sample and sums up those of the window between two times;
// zero times are the start and the end of the watch. The Window is nil without
// a pid.
func (w *Watch) Stop(from, to time.Time) (*Window, Host) {
	w.once.Do(func() { close(w.stop) })
	<-w.done
	samples := between(w.samples, from, to)
	host := summarizeHost(samples)
	if w.process == nil {
		return nil, host
	}
	w.process.close()
	window := summarize(samples)
	window.Gone = w.gone
	window.Cgroup = w.process.cgroup.name
	return &window, host
}

// between gives the samples of a window; all, if fewer than two are in it.
func between(samples []sample, from, to time.Time) []sample {
	var in []sample
	for _, s := range samples {
		if (from.IsZero() || !s.at.Before(from)) && (to.IsZero() || !s.at.After(to)) {
			in = append(in, s)
		}
	}
	if len(in) < 2 {
		return samples
	}
	return in
}

// summarizeHost is Host as a function of samples.
func summarizeHost(samples []sample) Host {
	first, last := samples[0], samples[len(samples)-1]
	host := Host{CPUs: runtime.NumCPU()}
	if seconds := last.at.Sub(first.at).Seconds(); seconds > 0 {
		host.Self = (last.self - first.self).Seconds() / seconds
	}
	if total := float64(last.host.Total - first.host.Total); total > 0 {
		host.Idle = float64(last.host.Idle-first.host.Idle) / total * float64(host.CPUs)
		host.Steal = float64(last.host.Steal-first.host.Steal) / total * float64(host.CPUs)
	}
	return host
}

// summarize is Window as a function of its samples, of which there is one at
// least.
func summarize(samples []sample) Window {
	first, last := samples[0], samples[len(samples)-1]
	w := Window{Samples: len(samples), Seconds: last.at.Sub(first.at).Seconds(),
		RSSFirst: first.rss, RSSLast: last.rss, Virtual: last.virtual,
		Throttled: int64(last.cgroup.Throttled - first.cgroup.Throttled),
		Throttles: last.cgroup.ThrottledPeriods - first.cgroup.ThrottledPeriods,
		OOMKills:  last.cgroup.OOMKills - first.cgroup.OOMKills,
	}
	if w.Seconds > 0 {
		w.User = (last.user - first.user).Seconds() / w.Seconds
		w.System = (last.system - first.system).Seconds() / w.Seconds
		w.CPU = w.User + w.System
	}
	var rss, memory float64
	from := 0
	for i, s := range samples {
		rss += float64(s.rss)
		memory += float64(s.cgroup.Memory)
		w.RSSPeak = max(w.RSSPeak, s.rss)
		w.PSSPeak = max(w.PSSPeak, s.pss)
		w.CgroupPeak = max(w.CgroupPeak, s.cgroup.Memory)
		for from+1 < i && s.at.Sub(samples[from+1].at) >= peakSpan {
			from++
		}
		if d := s.at.Sub(samples[from].at); d >= peakSpan {
			used := s.user + s.system - samples[from].user - samples[from].system
			w.CPUPeak = max(w.CPUPeak, used.Seconds()/d.Seconds())
		}
	}
	w.CPUPeak = max(w.CPUPeak, w.CPU)
	w.Waited = waited(samples)
	w.RSSMean = uint64(math.Round(rss / float64(len(samples))))
	w.CgroupMean = uint64(math.Round(memory / float64(len(samples))))
	return w
}

// waited is Window.Waited, between the first and the last sample that has it.
func waited(samples []sample) float64 {
	has := func(s sample) bool { return s.waited > 0 }
	first := slices.IndexFunc(samples, has)
	if first < 0 {
		return 0
	}
	from, to := samples[first], samples[first]
	for _, s := range samples[first:] {
		if has(s) {
			to = s
		}
	}
	if to.at.Equal(from.at) {
		return 0
	}
	return max(0, (to.waited-from.waited).Seconds()/to.at.Sub(from.at).Seconds())
}

// selfCPU is the CPU time this process has used.
func selfCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
