package probe

import (
	"context"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/wait"
)

// Costs are the runs of the programs in a measured time.
type Costs struct {
	Elapsed time.Duration
	// Programs are those that hooks start. Their times include those of the
	// programs that they jump to, which the kernel does not count.
	Programs []Run
	Because  string  // the kernel does not count runs
	Tallies  Tallies // what our own counters say; times from the first look at the event to its end
}

// Measure counts and times the programs for d, or until ctx ends. Meanwhile,
// each run costs two reads of a clock more, and each event another two.
func (p *Probe) Measure(ctx context.Context, d time.Duration) (Costs, error) {
	return p.measure(func() { _ = wait.For(ctx, d) }) // cut short: what was measured until then counts
}

func (p *Probe) measure(meanwhile func()) (c Costs, err error) {
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		c.Because = fmt.Sprintf("the kernel refuses to count the runs of programs (it needs 5.8 and CAP_SYS_ADMIN): %v", err)
	} else {
		defer stats.Close()
	}
	if err := p.time(1); err != nil {
		return c, err
	}
	defer func() {
		if stop := p.time(-1); err == nil {
			err = stop
		}
	}()
	begin, before, err := p.costs()
	if err != nil {
		return c, err
	}
	meanwhile()
	end, after, err := p.costs()
	if err != nil {
		return c, err
	}
	c.Elapsed = end.Sub(begin)
	c.Tallies = after.Tallies.since(&before.Tallies)
	if c.Because == "" {
		c.Programs = runsSince(before.Programs, after.Programs)
	}
	return c, nil
}

// costs are those since the start.
func (p *Probe) costs() (at time.Time, c Costs, err error) {
	if c.Programs, err = p.Runs(); err != nil {
		return at, c, err
	}
	counters, err := p.Counters()
	if err != nil {
		return at, c, err
	}
	c.Tallies = counters.Tallies
	return time.Now(), c, nil
}

// time makes the programs measure their time while the sum of all n is above 0.
func (p *Probe) time(n int) error {
	p.measuring.Lock()
	defer p.measuring.Unlock()
	p.measures += n
	on := uint64(min(p.measures, 1))
	if err := p.coll.Maps[".data.timed"].Put(uint32(0), on); err != nil {
		return fmt.Errorf("tell the probe whether to measure time: %w", err)
	}
	return nil
}

// runsSince are the differences, without programs that did not run. One that
// was loaded meanwhile has all of its runs.
func runsSince(before, after []Run) (runs []Run) {
	had := map[string]Run{}
	for _, r := range before {
		had[r.Name] = r
	}
	for _, r := range after {
		r.Count -= had[r.Name].Count
		r.Time -= had[r.Name].Time
		if r.Count > 0 {
			runs = append(runs, r)
		}
	}
	return runs
}

func (t *Tallies) since(before *Tallies) (d Tallies) {
	for family := range t {
		for fate := range t[family] {
			now, then := t[family][fate], before[family][fate]
			d[family][fate] = Tally{now.Events - then.Events, now.Ns - then.Ns}
		}
	}
	return d
}
