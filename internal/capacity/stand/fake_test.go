package stand

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/peregrine-sec/peregrine/internal/generator"
)

func itoa(n int) string { return strconv.Itoa(n) }

// shot tells the fake Falco of one action.
type shot struct {
	Time int64   `json:"time"`
	Rate float64 `json:"rate"` // at which actions come
	Die  bool    `json:"die"`
}

// playFalco is a process that looks like Falco from outside: it hears of
// events through a socket instead of a probe, writes alerts to standard output
// and metrics to a file, and drops what is above its capacity.
func playFalco() {
	stats := ""
	for _, arg := range os.Args {
		if arg == "--version" {
			fmt.Println("Falco version: 0.44.1 (x86_64)")
			return
		}
		if file, ok := strings.CutPrefix(arg, "metrics.output_file="); ok {
			stats = file
		}
	}
	limit, _ := strconv.ParseFloat(os.Getenv("STAND_TEST_CAPACITY"), 64)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	os.Remove(os.Getenv("STAND_TEST_SOCKET"))
	listener, err := net.Listen("unix", os.Getenv("STAND_TEST_SOCKET"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var events, drops atomic.Uint64
	go tell(stats, &events, &drops)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go hear(conn, limit, &events, &drops)
		}
	}()
	fmt.Fprintln(os.Stderr, "Opening 'syscall' source with modern BPF probe.")
	<-stop
}

func hear(conn net.Conn, limit float64, events, drops *atomic.Uint64) {
	out := bufio.NewWriter(os.Stdout)
	lines := bufio.NewScanner(conn)
	for n := 0; lines.Scan(); n++ {
		var s shot
		if json.Unmarshal(lines.Bytes(), &s) != nil {
			return
		}
		if s.Die {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		events.Add(4)
		if s.Rate > limit && n%4 == 0 {
			drops.Add(1)
			continue
		}
		fmt.Fprintf(out, `{"hostname":"h","output":"x","priority":"Warning","rule":"Read sensitive file untrusted","source":"syscall","time":"%s","output_fields":{"evt.time":%d,"thread.tid":77}}`+"\n",
			time.Unix(0, s.Time).UTC().Format("2006-01-02T15:04:05.000000000Z"), s.Time)
		out.Flush()
	}
}

// tell appends metrics as a Falco of today does, only more often.
func tell(path string, events, drops *atomic.Uint64) {
	if path == "" {
		return
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return
	}
	tick := time.NewTicker(100 * time.Millisecond)
	previous := uint64(0)
	for n := 1; ; n++ {
		now := <-tick.C
		e := events.Load()
		fmt.Fprintf(file, `{"sample":%d,"output_fields":{"evt.time":%d,"evt.source":"syscall","scap.n_evts":%d,"scap.n_evts_prev":%d,"scap.n_drops":%d,"scap.n_drops_prev":%d}}`+"\n",
			n, now.UnixNano(), e, previous, drops.Load(), drops.Load())
		previous = e
	}
}

// fakeGenerator tells the fake Falco of actions at the rate that was asked
// for, in the time that was asked for.
type fakeGenerator struct {
	socket       string
	kill, broken atomic.Bool
}

// await waits until the fake Falco listens.
func (g *fakeGenerator) await(t *testing.T) {
	t.Helper()
	conn, err := g.dial(context.Background())
	check(t, err)
	conn.Close()
}

func (g *fakeGenerator) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("unix", g.socket)
		if err == nil {
			return conn, nil
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-tick.C:
		}
	}
}

func (g *fakeGenerator) generate(ctx context.Context, o generator.Options) (*generator.Result, error) {
	if g.broken.Load() {
		return nil, errors.New("the generator was killed (signal 9)")
	}
	conn, err := g.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	out := json.NewEncoder(conn)
	count, gap := int(o.Rate*o.Duration.Seconds()), time.Duration(0)
	if o.Count > 0 {
		count = int(o.Count)
	}
	if o.Rate > 0 {
		gap = time.Duration(float64(time.Second) / o.Rate)
	}
	r := &generator.Result{Start: time.Now(), TargetRate: o.Rate, Lateness: hdrhistogram.New(1, 1e9, 2)}
	for _, c := range o.Actions {
		r.Actions = append(r.Actions, generator.ActionResult{Name: c.Name, Errnos: map[syscall.Errno]uint64{}})
	}
	for n := range count {
		due := r.Start.Add(time.Duration(n) * gap)
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait) // the schedule, not a synchronisation
		}
		at := time.Now().UnixNano()
		s := shot{Time: at, Rate: o.Rate, Die: n == count/2 && g.kill.CompareAndSwap(true, false)}
		if out.Encode(s) != nil || ctx.Err() != nil {
			break // the sensor has gone
		}
		r.Instances = append(r.Instances, generator.Instance{TID: 77, Planned: due.UnixNano(), Start: at - 1000, End: at + 1000})
		r.Offered++
		r.Completed++
	}
	r.End = time.Now()
	if full := r.Start.Add(o.Duration); o.Duration > 0 && r.End.Before(full) && ctx.Err() == nil {
		select {
		case <-time.After(time.Until(full)):
		case <-ctx.Done():
		}
		r.End = time.Now()
	}
	if len(r.Actions) > 0 {
		r.Actions[0].Counts = r.Counts
	}
	return r, nil
}
