// Package sensorstats holds a sensor's statistics about its own work: how many
// events it saw, how many it dropped, sample by sample. It has the one writer
// (our sensor appends the method document's lines to its `-s` file) and readers
// for every form met in the field: the `-s` file of Falco up to 0.32, with and
// without our extra keys, that of 0.33 and 0.34, the metrics file since 0.35,
// and a Prometheus endpoint.
//
// Readers are polled, never block and never own a goroutine: the caller passes
// the time in and gets the samples that appeared since it last asked.
package sensorstats

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/peregrine-sec/peregrine/internal/endpoint"
)

// Counters are cumulative counts of a sensor, or the difference of two.
// Events counts the events that the probe saw, including those then dropped.
type Counters struct {
	Events      uint64 `json:"events"`
	Drops       uint64 `json:"drops"`
	Preemptions uint64 `json:"preemptions"`
}

// Causes splits dropped events by where they were lost.
type Causes struct {
	Buffer    uint64 `json:"buffer"`     // the ring was full
	PageFault uint64 `json:"page_fault"` // user memory could not be read
	Scratch   uint64 `json:"scratch"`    // larger than the probe's scratch space
	Other     uint64 `json:"other"`
}

// Extra has the additional counters of newer sensors. All are cumulative.
type Extra struct {
	Filtered       uint64 `json:"filtered"`  // events the kernel side knew to match nothing
	Delivered      uint64 `json:"delivered"` // events that reached user space
	Alerts         uint64 `json:"alerts"`
	OutputsDropped uint64 `json:"outputs_dropped"` // alerts lost between rule and output
	Throttled      uint64 `json:"throttled"`       // alerts withheld by a rate limit
	DropsByCause   Causes `json:"drops_by_cause"`
}

// Sample is one record of a sensor's stats.
type Sample struct {
	Number uint64 `json:"sample"` // the sensor's own number, from 1 at each start
	// Time is ns since the epoch: the sensor's when Stamped, else when the
	// line was seen.
	Time    int64    `json:"time"`
	Stamped bool     `json:"stamped,omitempty"`
	Cur     Counters `json:"cur"`
	// Delta is the difference to the previous sample. It is zero in a first
	// sample and after a restart, where no interval is known.
	Delta Counters `json:"delta"`
	// Elapsed is the time that Delta covers, in ns; 0 when it is not known.
	Elapsed int64 `json:"elapsed_ns,omitempty"`
	// Restarted says that the counters began again: the sensor was restarted
	// or reloaded since the sample before.
	Restarted bool `json:"restarted,omitempty"`
	// Missed is the number of samples that are missing before this one.
	Missed uint64 `json:"missed,omitempty"`
	// Extra is nil for a sensor that does not tell.
	Extra *Extra `json:"extra,omitempty"`
}

// Whole says whether Delta is that of an interval of work: the first of a
// process's life covers its start.
func (s *Sample) Whole() bool { return !s.Restarted && s.Number != 1 && s.Delta.Events > 0 }

// Rate is Delta's events per second; interval is the time of a sample that does
// not tell it.
func (s *Sample) Rate(interval time.Duration) float64 {
	if s.Elapsed > 0 {
		interval = time.Duration(s.Elapsed)
	}
	return float64(s.Delta.Events) / interval.Seconds()
}

// DropPercent is the method document's drop_pct: 100 times drops by events,
// each of the same interval. 0 without events.
func (c Counters) DropPercent() float64 {
	if c.Events == 0 {
		return 0
	}
	return 100 * float64(c.Drops) / float64(c.Events)
}

// Sub is c minus an earlier o of the same run.
func (c Counters) Sub(o Counters) Counters {
	return Counters{c.Events - o.Events, c.Drops - o.Drops, c.Preemptions - o.Preemptions}
}

// before says whether any count of c is below o's, which cannot happen without
// a restart in between.
func (c Counters) before(o Counters) bool {
	return c.Events < o.Events || c.Drops < o.Drops || c.Preemptions < o.Preemptions
}

// Reader gives the samples that have appeared since it was last polled, in
// order. A reader that finds nothing new returns nil, nil. now stamps samples
// of formats without a time of their own.
type Reader interface {
	Poll(now time.Time) ([]Sample, error)
	io.Closer
}

// Open opens a file that a sensor appends to, from its present end, or a
// Prometheus endpoint, which is scraped no more often than each interval.
func Open(e endpoint.Endpoint, interval time.Duration, client endpoint.Client) (Reader, error) {
	if e.Kind == endpoint.File {
		return OpenFile(e.Path, true)
	}
	config, err := client.Config("")
	if err != nil {
		return nil, fmt.Errorf("statistics from %s: %w", e, err)
	}
	return NewPrometheus(e.Address, interval, &http.Client{Transport: &http.Transport{TLSClientConfig: config}}), nil
}
