// Package intake receives alerts from any sensor: over HTTP, gRPC, a unix
// socket, a file or a pipe. It delivers alerts in batches, so that receiving them
// adds no notable load for the sensor to watch.
package intake

import (
	"context"
	"errors"
)

// Alert holds the facts about an alert that matching needs.
type Alert struct {
	Time     int64  `json:"time"`     // the event's time, ns since the epoch
	Received int64  `json:"received"` // when the bytes were read, ns since the epoch
	Rule     string `json:"rule"`     // interned: equal rules share memory
	Priority string `json:"priority,omitempty"`
	Source   string `json:"source,omitempty"` // "syscall"; "internal" for the sensor's own messages
	Hostname string `json:"hostname,omitempty"`
	PID      int32  `json:"pid,omitempty"` // 0 if the alert does not say
	TID      int32  `json:"tid,omitempty"`
	// Run is the generator's run that the command line of the event's process
	// names, or Stranger if it names none; "" if the alert has no command line.
	Run string `json:"run,omitempty"`
	// Text is the whole alert as JSON, if Options ask for it.
	Text string `json:"-"`
}

// Stranger stands for a process that does not belong to the generator.
const Stranger = "-"

// ErrClosed is returned by Next after the sensor's side, or Close, ended the
// stream and everything received was handed out.
var ErrClosed = errors.New("alert stream closed")

// Source is a stream of alerts with one consumer.
type Source interface {
	// Next waits for at least one alert and returns all that are there. The
	// slice is valid until the next call. It returns ctx.Err() when ctx ends
	// and ErrClosed at the end of the stream.
	Next(ctx context.Context) ([]Alert, error)
	// Traffic returns the stream's counts so far. Safe at any time.
	Traffic() Traffic
	Close() error
}

// Traffic is the work a Source has done: the observer's own share of the load.
type Traffic struct {
	Alerts    uint64 `json:"alerts"`
	Malformed uint64 `json:"malformed"` // lines or bodies that are no alert
	Bytes     uint64 `json:"bytes"`
	Reads     uint64 `json:"reads"` // batches: reads of a pipe, requests, messages
	// LastError is the newest reason for Malformed, with its remedy.
	LastError string `json:"last_error,omitempty"`
}
