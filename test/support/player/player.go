// Package player is a Falco for tests: a program with Falco's flags that
// replays the recorded starts of a real one, in real time. Log, health, alerts
// and metrics appear at the times of a Falco 0.44.1 under the same CPU limit,
// with its traps: it says that it has opened its source, and is healthy,
// seconds before its first event; it writes a line of metrics only when an
// event arrives; with buffered_outputs, an alert leaves when 4 KiB are full;
// with metrics.output_rule, its default, each sample is an alert too; its last
// words on standard output are not JSON. It takes as many alerts per second as
// the recorded one took, and drops what its ring cannot hold. It can be an
// older release, with its features: gRPC until 0.43, no append_output by -o
// before 0.40, buffered alerts unless started with -U, the kernel module as
// driver from 0.34 to 0.37, -s until 0.35.
//
// It receives events from the generator of a test, through a socket, or from
// Peregrine's sensor on the host.
package player

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Event is one line on the socket of EventsEnv: an action that a rule matches.
type Event struct {
	Rule string `json:"rule"`
	Time int64  `json:"time"` // ns since the epoch
	TID  int32  `json:"tid"`
	// Die kills the player, as the kernel would.
	Die bool `json:"die,omitempty"`
}

// Main is the program. It returns the exit code.
func Main(args []string) int {
	begin := time.Now()
	c, err := parseConfig(args)
	if err == nil {
		if c.version {
			fmt.Printf("Falco version: %s (x86_64)\n", c.release)
			return 0
		}
		if c.help {
			fmt.Print(c.usage())
			return 0
		}
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		err = play(ctx, c, begin)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "Error: %v\n", err)
		return 1
	}
	return 0
}

// waiting is an alert on its way through the engine.
type waiting struct {
	line   []byte
	leaves time.Time
}

func play(ctx context.Context, c config, begin time.Time) error {
	out, err := openOutput(c)
	if err != nil {
		return err
	}
	metrics, err := openMetrics(c)
	if err != nil {
		return err
	}
	arrived := make(chan []byte, 4096)
	closeEvents, err := openEvents(ctx, c, arrived)
	if err != nil {
		return err
	}
	queue := make(chan waiting, 2*ringAlerts)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for w := range queue {
			time.Sleep(time.Until(w.leaves)) // the pace that is played
			out.alert(w.line)
		}
	}()
	e := engine{rate: c.start.Rate}
	var seen atomic.Pointer[engine]
	seen.Store(&engine{})
	go speak(ctx, c, begin, out.grpc, &seen)
	first := begin.Add(ms(c.start.FirstEvent))
	var failing <-chan time.Time
	if os.Getenv(FailEnv) != "" {
		failing = time.After(time.Until(first))
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-failing:
			return errors.New("no probe: Initialization issues during scap_init")
		case line := <-arrived:
			now := time.Now()
			if now.Before(first) {
				continue // the probe is not attached yet
			}
			leaves, ok := e.offer(now)
			moment := e
			seen.Store(&moment)
			sampled := metrics.tick(now, &e) // before the alert: who reads that finds the sample
			if ok {
				queue <- waiting{line, leaves}
			}
			if sampled && c.snapshots() {
				queue <- waiting{snapshot(now), leaves}
			}
		}
	}
	close(queue)
	<-done
	fmt.Fprintln(os.Stderr, "SIGINT received, exiting...")
	out.close(fmt.Sprintf("Events detected: %d\nRule counts by severity:\n   WARNING: %d\n", e.handled, e.handled))
	return closeEvents()
}

// said is a recorded line as the release writes it.
func (c config) said(line string) string {
	line = strings.Replace(line, "0.44.1", c.release, 1)
	if c.minor < 35 {
		line = strings.Replace(line, "Opening 'syscall' source with", "Opening capture with", 1)
	}
	return line
}

// usage is the part of --help that differs between releases.
func (c config) usage() string {
	text := "Usage:\n  falco [OPTION...]\n\n  -U, --unbuffered   Turn off output buffering\n"
	if c.hasDriverFlag() {
		text += "      --modern-bpf   Use BPF modern probe driver\n"
	}
	return text
}

// speak writes the log, and starts the configured servers, at the recorded
// times.
func speak(ctx context.Context, c config, begin time.Time, alerts *Subscription, seen *atomic.Pointer[engine]) {
	say := func(at int, do func()) bool {
		select {
		case <-time.After(time.Until(begin.Add(ms(at)))):
			do()
			return true
		case <-ctx.Done():
			return false
		}
	}
	for _, l := range c.start.Log {
		if !say(l.At, func() {
			_, _ = io.WriteString(os.Stderr, time.Now().Format("Mon Jan _2 15:04:05 2006: ")+c.said(l.Line)+"\n")
		}) {
			return
		}
	}
	say(c.start.Health, func() {
		if c.on("webserver.enabled") {
			serveWeb(ctx, c, seen)
		}
		if alerts != nil {
			if err := alerts.Serve(ctx, strings.TrimPrefix(c.grpc(), "unix://")); err != nil {
				fmt.Fprintf(os.Stderr, "Error: grpc: %v\n", err)
			}
		}
	})
}
