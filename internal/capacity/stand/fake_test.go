package stand

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/test/support/needs"
	"github.com/peregrine-sec/peregrine/test/support/player"
)

func itoa(n int) string { return strconv.Itoa(n) }

// fakeGenerator tells the player of actions, at the rate and in the time that
// was asked for.
type fakeGenerator struct {
	socket       string
	kill, broken atomic.Bool
	threads      atomic.Int32 // each generator is a process of its own
}

// await waits until the player listens.
func (g *fakeGenerator) await(t *testing.T) {
	t.Helper()
	conn, err := g.dial(context.Background())
	check(t, err)
	conn.Close()
}

func (g *fakeGenerator) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, needs.Patience)
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
	out, tid := json.NewEncoder(conn), 1000+g.threads.Add(1)
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
		s := player.Event{Rule: "Read sensitive file untrusted", TID: tid, Time: at, Die: n == count/2 && g.kill.CompareAndSwap(true, false)}
		if out.Encode(s) != nil || ctx.Err() != nil {
			break // the sensor has gone
		}
		r.Instances = append(r.Instances, generator.Instance{TID: tid, Planned: due.UnixNano(), Start: at - 1000, End: at + 1000})
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
