package bench

import (
	"math"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensorstats"
)

// maxSettle bounds the part of a round's start that is left out: one sample, but
// not more than this.
const maxSettle = time.Second

// minPlateau is how many plateau samples a mean needs.
const minPlateau = 3

// within gives the samples whose interval reaches into (from, to], in order.
func within(samples []sensorstats.Sample, from, to int64) []sensorstats.Sample {
	var in []sensorstats.Sample
	for _, s := range samples {
		if s.Time > from && s.Time-s.Elapsed < to {
			in = append(in, s)
		}
	}
	return in
}

// plateau gives the samples whose whole interval lies in the settled load
// window: by time, not by the shape of the curve.
func plateau(samples []sensorstats.Sample, start, end int64) []sensorstats.Sample {
	var in []sensorstats.Sample
	for _, s := range samples {
		settle := min(s.Elapsed, int64(maxSettle))
		if s.Elapsed > 0 && s.Time-s.Elapsed >= start+settle && s.Time <= end {
			in = append(in, s)
		}
	}
	return in
}

// newSensorStats sums the samples of a round up. before is the last sample
// ahead of the round, or nil; samples are those of the load and the drain.
func newSensorStats(before *sensorstats.Sample, samples []sensorstats.Sample, start, end int64) *SensorStats {
	s := &SensorStats{}
	s.rates(plateau(samples, start, end))
	prev := before
	firstDrop := int64(math.MaxInt64)
	for i := range samples {
		sample := &samples[i]
		s.Missed += sample.Missed
		s.Events += sample.Delta.Events
		s.Drops += sample.Delta.Drops
		if sample.Delta.Drops > 0 {
			firstDrop = min(firstDrop, sample.Time-sample.Elapsed)
		}
		if sample.Extra != nil {
			s.detail(prev, sample)
		}
		prev = sample
	}
	s.DropPercent = sensorstats.Counters{Events: s.Events, Drops: s.Drops}.DropPercent()
	if s.Drops > 0 {
		s.PreDropMean = meanRate(plateau(samples, start, min(end, firstDrop)))
	}
	return s
}

// detail adds the counters of newer sensors, as the difference of two samples
// of one sensor process.
func (s *SensorStats) detail(prev, sample *sensorstats.Sample) {
	s.Detailed = true
	x, p := sample.Extra, &sensorstats.Extra{}
	switch {
	case prev != nil && prev.Extra != nil && !sample.Restarted:
		p = prev.Extra
	case prev == nil && sample.Number != 1:
		return // cumulative since an unknown time
	}
	add := func(sum *uint64, now, before uint64) {
		if now > before {
			*sum += now - before
		}
	}
	add(&s.Filtered, x.Filtered, p.Filtered)
	add(&s.Alerts, x.Alerts, p.Alerts)
	add(&s.OutputsDropped, x.OutputsDropped, p.OutputsDropped)
	add(&s.Throttled, x.Throttled, p.Throttled)
	c, pc := x.DropsByCause, p.DropsByCause
	add(&s.ByCause.Buffer, c.Buffer, pc.Buffer)
	add(&s.ByCause.PageFault, c.PageFault, pc.PageFault)
	add(&s.ByCause.Scratch, c.Scratch, pc.Scratch)
	add(&s.ByCause.Other, c.Other, pc.Other)
}

// rates sums the plateau up.
func (s *SensorStats) rates(samples []sensorstats.Sample) {
	s.Plateau = len(samples)
	if len(samples) == 0 {
		return
	}
	s.EventsMean = meanRate(samples)
	s.EventsMin = math.Inf(1)
	var squares float64
	for _, sample := range samples {
		r := rate(sample)
		s.EventsMin, s.EventsMax = math.Min(s.EventsMin, r), math.Max(s.EventsMax, r)
		squares += (r - s.EventsMean) * (r - s.EventsMean)
	}
	if len(samples) > 1 {
		s.EventsSD = math.Sqrt(squares / float64(len(samples)-1))
	}
}

// rate is a sample's events per second, by its real length.
func rate(s sensorstats.Sample) float64 {
	return float64(s.Delta.Events) / time.Duration(s.Elapsed).Seconds()
}

// meanRate weighs samples by their length; 0 for none.
func meanRate(samples []sensorstats.Sample) float64 {
	var events uint64
	var elapsed int64
	for _, s := range samples {
		events += s.Delta.Events
		elapsed += s.Elapsed
	}
	if elapsed == 0 {
		return 0
	}
	return float64(events) / time.Duration(elapsed).Seconds()
}
