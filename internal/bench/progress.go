package bench

import (
	"time"
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
			s.o.Progress(p)
		}
	}()
	return func() { close(done); <-ended }
}
