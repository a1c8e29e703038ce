// Package recording writes the events around alerts to .scap files: the
// delivered events, and the state of the process table.
//
// The engine's goroutine copies events into a bounded buffer, only while a
// recording is on; another goroutine makes files of them (file.go). Each write
// to a file is a whole gzip member of whole blocks, so that a sensor that is
// killed leaves a file that can be read. Events that do not fit into the buffer
// are counted, and missing in the file.
package recording

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/capture"
	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/engine"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// Options configure a Recorder.
type Options struct {
	Table      *state.Table
	Log        *slog.Logger
	Machine    capture.Machine
	Interfaces []capture.Interface
	// Proc is where procfs is mounted; "" while a capture is replayed: then the
	// clock is that of its events, and no event is missed.
	Proc string
	// Limited is called, on the goroutine that writes, when a file has ended
	// because of its size in bytes.
	Limited func(path string, size int64)
}

// Limits bound recordings. Sizes are in bytes.
type Limits struct {
	Prefix   string // of the files' paths
	FileSize int64  // of one file; 0 for no limit but Total
	Files    int    // older ones are deleted
	Total    int64  // of all files together
	Buffer   int    // of events that are not written yet
}

// Stats count since the start.
type Stats struct {
	Files   uint64 // begun
	Events  uint64 // in files
	Missed  uint64 // events for which the buffer or the file had no room
	Limited uint64 // files that ended because of their size
	Errors  uint64 // recordings that were not written, or not to their end
}

// Recorder records. All methods but Stats, Run and Close belong to the engine's
// goroutine.
type Recorder struct {
	o      Options
	engine *engine.Engine // nil while nothing is recorded
	memory memory
	limits Limits
	until  uint64        // ns by the monotonic clock of events' headers
	serial uint64        // of the latest recording, from 1
	broken atomic.Uint64 // serial of the latest whose file has ended before its time
	paused atomic.Bool   // a file could not be written a moment ago

	mu      sync.Mutex
	jobs    []job
	held    int  // bytes of events in jobs
	opening bool // there is one in jobs, or in work
	room    sync.Cond
	wake    chan struct{}
	ended   chan struct{} // closed when nothing more is written
	stats   struct{ files, events, missed, limited, errors atomic.Uint64 }
}

// job is data to be written, in this order.
type job struct {
	begin  *opening // a file begins
	events []byte   // of the probe, back to back
	finish bool     // the file ends
}

// opening is the first of a file: the state at its first event.
type opening struct {
	limits    Limits
	serial    uint64
	time      uint64 // of the first event, ns since the epoch
	number    uint64 // of the first event
	offset    uint64
	processes []state.Process
	known     []byte // events that tell of users and containers
}

// New returns a Recorder; Run must be called for it.
func New(o Options) *Recorder {
	r := &Recorder{o: o, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	r.room.L = &r.mu
	return r
}

// Stats returns the counters.
func (r *Recorder) Stats() Stats {
	s := &r.stats
	return Stats{Files: s.files.Load(), Events: s.events.Load(), Missed: s.missed.Load(), Limited: s.limited.Load(), Errors: s.errors.Load()}
}

// Alert starts a recording with the present event, whose header has the time
// at, or extends a running one, for at least that long. Recording the state
// costs a copy of the process table: it is not done while files cannot be
// written, nor before that of the last recording is written.
func (r *Recorder) Alert(e *engine.Engine, at uint64, d time.Duration, limits Limits) {
	until := at + uint64(d)
	if r.engine != nil && r.over(at) {
		r.Stop()
	}
	if r.engine != nil {
		r.until = max(r.until, until)
		return
	}
	if r.paused.Load() || !r.reserve() {
		r.stats.errors.Add(1)
		return
	}
	r.engine, r.limits, r.until = e, limits, until
	r.serial++
	r.push(job{begin: r.open(at + e.Clock())})
	e.Record(r)
}

// over says whether the recording has ended before an event of that time.
func (r *Recorder) over(at uint64) bool { return at > r.until || r.broken.Load() == r.serial }

// Idle ends a recording whose time is over when there are no events to show the
// time.
func (r *Recorder) Idle(now uint64) {
	if r.over(now - min(now, grace)) {
		r.Stop()
	}
}

// Stop ends the recording that is on.
func (r *Recorder) Stop() {
	if r.engine == nil {
		return
	}
	r.engine.Record(nil)
	r.engine = nil
	r.push(job{finish: true})
}

// open notes the state of the table. Strings in it never change, so that the
// rest of the work can be done by the goroutine that writes.
func (r *Recorder) open(now uint64) *opening {
	o := &opening{
		limits: r.limits, serial: r.serial, time: now, number: r.engine.Counters().Events, offset: r.engine.Clock(),
		processes: make([]state.Process, 0, r.o.Table.Len()),
	}
	m := &r.memory
	m.reset(o.offset, r.o.Table.Redated())
	for p := range r.o.Table.All {
		if p.Known {
			o.processes = append(o.processes, *p)
			m.told[p.PID] = imageOf(p)
		}
	}
	m.container(r.o.Table, container.Host, now)
	for c := range r.o.Table.Containers().All {
		m.container(r.o.Table, c, now)
	}
	o.known, m.out = m.out, nil
	return o
}

// Event records an event.
func (r *Recorder) Event(v *event.View, p *state.Process, now uint64) {
	if r.over(v.Header().Time) {
		r.Stop()
		return
	}
	m := &r.memory
	m.out = m.out[:0]
	later := m.tell(r.o.Table, v, p, now)
	m.event(v, now, later)
	r.append(m.out)
}

// Postponed makes the next event of p write the state that the postponed one
// has changed.
func (r *Recorder) Postponed(p *state.Process) { delete(r.memory.told, p.PID) }

// append hands events to the goroutine that writes, if there is room.
func (r *Recorder) append(events []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.o.Proc == "" && r.held > r.limits.Buffer {
		r.signal()
		r.room.Wait()
	}
	if r.held+len(events) > r.limits.Buffer && r.o.Proc != "" {
		r.stats.missed.Add(1)
		clear(r.memory.told) // later events must write the state that this one would have
		return
	}
	if len(r.jobs) == 0 {
		r.jobs = append(r.jobs, job{})
	}
	last := &r.jobs[len(r.jobs)-1]
	last.events = append(last.events, events...)
	if r.held += len(events); r.held >= piece {
		r.signal()
	}
}

// reserve makes sure that at most one opening waits. During a replay it waits
// for that.
func (r *Recorder) reserve() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.o.Proc == "" && r.opening {
		r.signal()
		r.room.Wait()
	}
	if r.opening {
		return false
	}
	r.opening = true
	return true
}

// release lets another opening wait.
func (r *Recorder) release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.opening = false
	r.room.Broadcast()
}

// push begins a new job.
func (r *Recorder) push(j job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.jobs = append(r.jobs, j)
	if j.finish {
		r.jobs = append(r.jobs, job{})
	}
	r.signal()
}

func (r *Recorder) signal() {
	select {
	case r.wake <- struct{}{}:
	default: // one is enough
	}
}

// take returns the jobs to be written.
func (r *Recorder) take() []job {
	r.mu.Lock()
	defer r.mu.Unlock()
	jobs := r.jobs
	r.jobs, r.held = nil, 0
	r.room.Broadcast()
	return jobs
}
