package state

import "time"

// purge finds processes whose exit event was lost: silent for long, and gone
// from /proc. It asks about a few at a time, to stay out of the events' way.
type purge struct {
	interval, timeout time.Duration
	next              time.Time
	queue             []int32
	drops             uint64 // Stats.DropsFull when it began last
}

const purgeBatch = 256

func newPurge(o Options) purge {
	p := purge{interval: o.PurgeInterval, timeout: o.PurgeTimeout}
	if p.interval <= 0 {
		p.interval = DefaultPurge
	}
	if p.timeout <= 0 {
		p.timeout = DefaultPurge
	}
	return p
}

// Tick does periodic work: call it about once a second, between events.
func (t *Table) Tick(now time.Time) {
	t.containers.Sweep()
	t.tickUsers(now)
	if t.proc == nil {
		return
	}
	g := &t.purge
	if g.next.IsZero() {
		g.next = now.Add(g.interval)
	}
	timeout := g.timeout
	full := t.stats.DropsFull > g.drops
	if full {
		timeout = time.Second // room is wanted now
		t.log.Warn("the process table is full: removing processes whose exits were missed",
			"processes", t.live, "not kept", t.stats.DropsFull-g.drops)
	}
	if len(g.queue) == 0 && (full || !now.Before(g.next)) {
		g.next, g.drops = now.Add(g.interval), t.stats.DropsFull
		before := uint64(max(t.proc.clock()-timeout, 0))
		for pid, p := range t.processes {
			if !p.gone && p.seen < before {
				g.queue = append(g.queue, pid)
			}
		}
	}
	t.purgeSome()
}

func (t *Table) purgeSome() {
	g := &t.purge
	n := min(len(g.queue), purgeBatch)
	for _, pid := range g.queue[:n] {
		if p := t.Get(pid); p != nil && !t.proc.exists(pid) {
			t.orphan(p, 0)
			t.bury(p)
			t.stats.Purged++
		}
	}
	if g.queue = g.queue[n:]; len(g.queue) == 0 {
		g.queue = nil
	}
}
