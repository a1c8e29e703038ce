package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/peregrine-sec/peregrine/internal/sensor/audit/record"
)

// Body is one body of events on its way to the engine.
type Body struct {
	text  []byte
	batch record.Batch
	done  chan struct{}
}

// Counters count the input since the start.
type Counters struct {
	Bodies    uint64 // taken
	Bytes     uint64 // of these
	Events    uint64 // in these, without those that were left out
	Malformed uint64 // invalid events, left out
	Oversized uint64 // events beyond a limit, left out
	Refused   uint64 // bodies for want of time or room; senders try again
	Rejected  uint64 // requests that are not as they must be, or not allowed
}

// Limits bound the input of the source.
type Limits struct {
	EventBytes int           // of one event, as compact JSON
	BodyBytes  int           // of one request
	Patience   time.Duration // how long a body waits for room, and for the engine
}

const (
	// maxBodies is how many bodies of the largest size fit into the memory for
	// all of them.
	maxBodies = 4
	// maxEvents bounds the events of a body: the API server sends 400 at most
	// (--audit-webhook-batch-max-size).
	maxEvents = 50_000
	// keepBytes is the largest buffer that is kept for the next body.
	keepBytes = 4 << 20
)

var errBusy = errors.New("the sensor is behind; try again")

// intake takes bodies in, within bounds.
type intake struct {
	limits  Limits
	memory  *semaphore.Weighted
	bodies  chan *Body
	pool    sync.Pool
	log     *slog.Logger
	toldAt  atomic.Int64 // when the last bad event was logged, in s
	counted struct {
		bodies, bytes, events, malformed, oversized, refused, rejected atomic.Uint64
	}
}

func newIntake(limits Limits, log *slog.Logger) *intake {
	return &intake{
		limits: limits, log: log, bodies: make(chan *Body),
		memory: semaphore.NewWeighted(int64(maxBodies * (limits.BodyBytes + step))),
		pool:   sync.Pool{New: func() any { return &Body{done: make(chan struct{}, 1)} }},
	}
}

func (in *intake) counters() Counters {
	c := &in.counted
	return Counters{
		Bodies: c.bodies.Load(), Bytes: c.bytes.Load(), Events: c.events.Load(), Malformed: c.malformed.Load(),
		Oversized: c.oversized.Load(), Refused: c.refused.Load(), Rejected: c.rejected.Load(),
	}
}

// take reads a body and returns when its events have been matched. The error is
// errBusy if there was no room or no time for it, a syntax error if it is not
// JSON, where the events before the fault count, or that of the reader.
func (in *intake) take(ctx context.Context, r io.Reader) error {
	waiting, cancel := context.WithTimeout(ctx, in.limits.Patience)
	defer cancel()
	b := in.pool.Get().(*Body)
	defer in.release(b)
	held, err := in.read(waiting, r, b)
	defer in.memory.Release(held)
	switch {
	case errors.Is(err, errBusy):
		in.counted.refused.Add(1)
		return err
	case err != nil:
		in.counted.rejected.Add(1)
		return err
	}
	return in.match(waiting, b)
}

// step is the memory that a body requests at a time: a sender that stops midway
// holds memory for the bytes it has sent, not for its Content-Length.
const step = 64 << 10

// read is io.ReadAll into the memory of b, as far as there is room for it. It
// returns how much it holds of the memory for all bodies, also with an error.
func (in *intake) read(waiting context.Context, r io.Reader, b *Body) (held int64, err error) {
	b.text = b.text[:0]
	for {
		if int64(len(b.text)) == held {
			if in.memory.Acquire(waiting, step) != nil {
				return held, errBusy
			}
			held += step
			b.text = slices.Grow(b.text, step)
		}
		n, err := r.Read(b.text[len(b.text):held])
		b.text = b.text[:len(b.text)+n]
		switch {
		case errors.Is(err, io.EOF):
			return held, nil
		case err != nil:
			return held, err
		}
	}
}

// match parses the body and waits until the engine has matched its events.
func (in *intake) match(waiting context.Context, b *Body) error {
	err := b.batch.Parse(b.text, record.Limits{EventBytes: in.limits.EventBytes, Events: maxEvents})
	if len(b.batch.Records) > 0 {
		select {
		case in.bodies <- b:
			<-b.done
		case <-waiting.Done():
			in.counted.refused.Add(1)
			return errBusy
		}
	}
	c := &in.counted
	c.bodies.Add(1)
	c.bytes.Add(uint64(len(b.text)))
	c.events.Add(uint64(len(b.batch.Records)))
	c.malformed.Add(uint64(b.batch.Malformed))
	c.oversized.Add(uint64(b.batch.Oversized))
	if err != nil {
		c.malformed.Add(1)
		err = fmt.Errorf("the body is not JSON: %w", err)
	}
	in.tell(b.batch.Err)
	return err
}

// tell logs why events were left out, once in ten seconds.
func (in *intake) tell(err error) {
	const every = 10
	now := time.Now().Unix()
	if last := in.toldAt.Load(); err != nil && now-last >= every && in.toldAt.CompareAndSwap(last, now) {
		c := in.counters()
		in.log.Warn("audit events were skipped", "error", err, "malformed", c.Malformed, "oversized", c.Oversized)
	}
}

func (in *intake) release(b *Body) {
	if cap(b.text) > keepBytes {
		b.text = nil
	}
	if cap(b.batch.Records) > keepBytes/256 { // a Record has some 200 bytes
		b.batch.Records = nil
	}
	in.pool.Put(b)
}
