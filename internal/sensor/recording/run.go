package recording

import (
	"context"
	"fmt"
	"time"
	"unsafe"

	"github.com/peregrine-sec/peregrine/internal/sensor/capture"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

const (
	// piece is how many bytes of events make it worth to write.
	piece = 256 << 10
	// interval is how long events wait for more: a killed sensor loses at most
	// that much.
	interval = 100 * time.Millisecond
	// pause is the time before the next file after a failed write: a full disk
	// stays full for a while.
	pause = 10 * time.Second
	// grace is how much later than the clock, in ns, events may come.
	grace = uint64(time.Second)
)

// Run writes files until ctx ends and Close has been called.
func (r *Recorder) Run(ctx context.Context) {
	defer close(r.ended)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	w := writer{r: r}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-r.wake:
		case now := <-tick.C:
			if now.After(w.until) {
				r.paused.Store(false)
			}
		}
		w.write(r.take())
	}
	w.write(r.take())
	w.finish()
}

// writer is the goroutine that writes.
type writer struct {
	r       *Recorder
	file    *file // nil while nothing is recorded, or cannot be
	serial  uint64
	until   time.Time // when a file may be tried again
	failing bool      // the last one could not be written
}

func (w *writer) write(jobs []job) {
	for _, j := range jobs {
		if j.begin != nil {
			w.finish()
			w.begin(j.begin)
			w.r.release()
		}
		w.events(j.events)
		if j.finish {
			w.finish()
		}
	}
	w.flush()
}

// begin begins a file.
func (w *writer) begin(o *opening) {
	w.serial = o.serial
	if time.Now().Before(w.until) {
		w.r.stats.errors.Add(1)
		w.r.broken.Store(w.serial)
		return
	}
	f, err := create(o, w.r.o)
	if err != nil {
		w.fail(err)
		return
	}
	w.file = f
	w.r.stats.files.Add(1)
}

// events adds events to the file; if it has ended before its time, they are
// missed.
func (w *writer) events(b []byte) {
	var v event.View
	for len(b) > 0 {
		n := (*event.Header)(unsafe.Pointer(unsafe.SliceData(b))).Len
		ev := b[:n]
		b = b[n:]
		if err := v.Reset(ev); err != nil {
			w.fail(err)
			return
		}
		switch {
		case w.file == nil:
			if !capture.Silent(v.Kind()) {
				w.r.stats.missed.Add(1)
			}
		default:
			if w.file.add(&v); w.file.blocks.Len() >= piece {
				w.flush()
			}
		}
	}
}

// flush writes complete blocks to the file.
func (w *writer) flush() {
	f := w.file
	if f == nil {
		return
	}
	before := f.events
	full, err := f.flush()
	w.r.stats.events.Add(f.events - before)
	switch {
	case err != nil:
		w.fail(err)
	case full:
		w.r.broken.Store(w.serial)
		w.r.stats.limited.Add(1)
		w.close()
		w.r.o.Limited(f.path, f.size)
	case w.failing && f.size > 0:
		w.failing = false
		w.r.o.Log.Info("recordings are written again", "file", f.path)
	}
}

// finish ends the file with all that it has.
func (w *writer) finish() {
	w.flush()
	w.close()
}

// close ends the file; events that do not fit are counted as missed.
func (w *writer) close() {
	f := w.file
	if f == nil {
		return
	}
	if err := f.close(); err != nil {
		w.fail(err)
		return
	}
	w.r.stats.missed.Add(f.waiting)
	w.file = nil
	w.r.o.Log.Info("recorded", "file", f.path, "events", f.events, "bytes", f.size)
}

// fail ends the file because of err, which is logged once, and counted.
func (w *writer) fail(err error) {
	w.until = time.Now().Add(pause)
	w.r.paused.Store(true)
	w.r.broken.Store(w.serial)
	w.r.stats.errors.Add(1)
	if w.file != nil {
		w.r.stats.missed.Add(w.file.waiting)
		w.file.abandon()
		w.file = nil
	}
	if !w.failing {
		w.r.o.Log.Error(fmt.Sprintf("a recording is not written; tried again with an alert after %s or more", pause), "error", err)
	}
	w.failing = true
}

// Close waits until all that was recorded is written. The engine has ended, and
// stop ends the context of Run.
func (r *Recorder) Close(stop context.CancelFunc) {
	r.Stop()
	stop()
	<-r.ended
}
