package main

import (
	"context"
	"errors"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics/live"
)

// beside is what is attached now.
type beside struct {
	options
	now    condition
	detach func() error // of the empty program
	sensor *process
}

// become attaches what belongs to a condition, unless it is. The sensor has
// started, and settled, when it returns.
func (b *beside) become(c condition) (err error) {
	if b.now == c {
		return nil
	}
	if err := b.end(); err != nil {
		return err
	}
	switch c {
	case empty:
		b.detach, err = attachEmpty()
	case watched:
		if b.sensor, err = start(b.binary, b.hooks); err != nil {
			return err
		}
		<-b.sensor.ready
		_, err = b.sensor.settle(b.hooks)
		time.Sleep(time.Second) // its start is over
	}
	b.now = c
	time.Sleep(200 * time.Millisecond) // the work has its pace
	return err
}

// end detaches whatever is attached.
func (b *beside) end() (err error) {
	if b.detach != nil {
		err = b.detach()
	}
	if b.sensor != nil {
		err = errors.Join(err, b.sensor.stop())
	}
	*b = beside{options: b.options}
	return err
}

// usage is what the sensor did in a time.
type usage struct {
	elapsed, cpu    time.Duration
	seen, delivered uint64
}

func (u usage) plus(v usage) usage {
	return usage{u.elapsed + v.elapsed, u.cpu + v.cpu, u.seen + v.seen, u.delivered + v.delivered}
}

func (u usage) perSecond(n uint64) float64 { return float64(n) / max(u.elapsed.Seconds(), 1e-9) }

// during measures the sensor, if there is one, while f runs.
func (b *beside) during(f func() error) (u usage, err error) {
	if b.sensor == nil {
		return u, f()
	}
	before, err := b.sensor.use()
	if err == nil {
		err = f()
	}
	if err != nil {
		return u, err
	}
	after, err := b.sensor.use()
	return usage{after.elapsed - before.elapsed, after.cpu - before.cpu, after.seen - before.seen, after.delivered - before.delivered}, err
}

// use is since the sensor's start.
func (p *process) use() (u usage, err error) {
	c := live.NewClient(p.socket())
	defer c.Close()
	s, err := c.Snapshot(context.Background())
	if err != nil {
		return u, err
	}
	u = usage{elapsed: time.Duration(s.Elapsed), seen: s.Probe.Seen, delivered: s.Probe.Delivered}
	u.cpu, err = p.cpu()
	return u, err
}

// costs has the sensor measure its programs for a second.
func (p *process) costs() (*metrics.Costs, error) {
	c := live.NewClient(p.socket())
	defer c.Close()
	return c.Costs(context.Background(), time.Second)
}
