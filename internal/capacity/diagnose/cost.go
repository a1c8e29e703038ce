package diagnose

import (
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/sample"
)

// fewest is the number of events and alerts per second that a round needs for
// their cost: with fewer, the sensor's background work dominates.
const fewest = 1000

// costOf is the CPU time of a sensor's events and alerts in all clean rounds.
func costOf(sensor string, rows []capacity.Row) capacity.Cost {
	var events, alerts []float64
	for _, row := range rows {
		if row.Sensor != sensor {
			continue
		}
		for i := range row.Trials {
			t := &row.Trials[i]
			if !t.Verdict.Clean || t.Round.Usage == nil || t.Round.Usage.CPU <= 0 {
				continue
			}
			if s := t.Round.Sensor; s != nil && s.EventsMean >= fewest {
				events = append(events, t.Round.Usage.CPU/s.EventsMean*1e6)
			}
			seconds := time.Duration(t.Round.End - t.Round.Start).Seconds()
			if matched := float64(t.Round.Total.Matched); matched >= fewest*seconds && seconds > 0 {
				alerts = append(alerts, t.Round.Usage.CPU*seconds/matched*1e3)
			}
		}
	}
	return capacity.Cost{Sensor: sensor, PerMillionEvents: sample.MedianInterval(events), PerThousandAlerts: sample.MedianInterval(alerts)}
}
