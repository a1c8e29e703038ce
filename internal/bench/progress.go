package bench

import (
	"time"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

// Progress is a round under way.
type Progress struct {
	Round    int
	Label    string
	Phase    string // "load", "drain"
	Elapsed  time.Duration
	Duration time.Duration
	Rate     float64
	Alerts   int    // received in this round
	Drops    uint64 // in this round

	// Moment is since the Progress before; unknown values are nil.
	Moment Moment
}

// Moment has the rates of a moment, per second.
type Moment struct {
	Alerts        float64
	Events, Drops *float64 // of the sensor's last sample
	CPU           *float64 // of the sensor, in CPUs
}

// report calls Progress until the returned stop.
func (s *Session) report(o *observation) (stop func()) {
	if s.o.Progress == nil {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	before := s.o.Target.Alerts().Traffic().Alerts
	var drops uint64
	if last := s.lastSample(); last != nil {
		drops = last.Cur.Drops
	}
	begin := time.Now()
	m := moments{session: s, at: begin, alerts: before}
	go func() {
		defer close(ended)
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			p := Progress{Round: o.number, Label: o.load.Label, Phase: "load", Elapsed: time.Since(begin), Duration: o.load.Duration, Rate: o.load.Rate}
			p.Alerts = int(s.o.Target.Alerts().Traffic().Alerts - before)
			if last := s.lastSample(); last != nil && last.Cur.Drops > drops {
				p.Drops = last.Cur.Drops - drops
			}
			if p.Elapsed > p.Duration {
				p.Phase = "drain"
			}
			p.Moment = m.next(time.Now())
			s.o.Progress(p)
		}
	}()
	return func() { close(done); <-ended }
}

// moments measures from one Progress to the next.
type moments struct {
	session *Session
	at      time.Time
	alerts  uint64
	cpu     time.Duration // of the sensor, so far; 0 before the first look
}

func (m *moments) next(now time.Time) (of Moment) {
	per := now.Sub(m.at).Seconds()
	m.at = now
	alerts := m.session.o.Target.Alerts().Traffic().Alerts
	of.Alerts = float64(alerts-m.alerts) / per
	m.alerts = alerts
	if last := m.session.lastSample(); last != nil && last.Elapsed > 0 {
		events, drops := float64(last.Delta.Events)*1e9/float64(last.Elapsed), float64(last.Delta.Drops)*1e9/float64(last.Elapsed)
		of.Events, of.Drops = &events, &drops
	}
	if stat, err := procfs.Root("/proc").Stat(m.session.o.Target.PID()); err == nil { // it may have ended
		if m.cpu > 0 {
			cpu := (stat.User + stat.System - m.cpu).Seconds() / per
			of.CPU = &cpu
		}
		m.cpu = stat.User + stat.System
	}
	return of
}
