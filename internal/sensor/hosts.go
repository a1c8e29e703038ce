package sensor

import (
	"context"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// hostInterval is how often the addresses of names in rules are looked up
// again.
const hostInterval = time.Minute

// findHosts looks up the names of hosts in rules. It logs those that are not
// found, unless they are in known, and those of known that are found again,
// and returns the former.
func (s *sensor) findHosts(ctx context.Context, hosts *filter.Hosts, known map[string]error) map[string]error {
	failed := hosts.Lookup(ctx)
	for _, name := range hosts.Names() {
		switch err := failed[name]; {
		case err != nil && known[name] == nil:
			s.log.Info("rules: no address is known for a host; conditions on it match no address until there is one", "host", name, "error", err)
		case err == nil && known[name] != nil:
			s.log.Info("rules: the address of a host is known", "host", name)
		}
	}
	return failed
}

// hostPatience is how long the first event waits for the addresses of hosts: a
// server that does not answer must not keep the sensor from seeing events.
const hostPatience = 500 * time.Millisecond

// lookup is the first lookup of hosts in rules, which runs while the probe is
// attached.
type lookup struct {
	found    chan struct{} // closed when all have been looked up
	deadline time.Time
}

func (s *sensor) startLookup(ctx context.Context, hosts *filter.Hosts) lookup {
	l := lookup{found: make(chan struct{}), deadline: time.Now().Add(hostPatience)}
	go func() {
		defer close(l.found)
		s.findHosts(ctx, hosts, nil)
	}()
	return l
}

// wait returns when all hosts have been looked up, or the time for it is over.
func (l lookup) wait() {
	select {
	case <-l.found:
	case <-time.After(time.Until(l.deadline)):
	}
}

// serveHosts looks the names of hosts in rules up again and again: their
// addresses change.
func (s *sensor) serveHosts(ctx context.Context) error {
	failed := map[string]error{}
	return wait.Every(ctx, hostInterval, func(time.Time) error {
		failed = s.findHosts(ctx, s.now().rules.Plan.Hosts, failed)
		return nil
	})
}
