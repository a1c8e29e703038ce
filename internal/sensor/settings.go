package sensor

import (
	"context"

	"github.com/peregrine-sec/peregrine/internal/sensor/audit"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/engine"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/output"
)

// settings holds everything that a reload replaces, in one value: readers
// always see one whole configuration. Only the counters of rules change, on the
// engine's goroutine.
type settings struct {
	config  *config.Config
	sums    fileSums
	rules   *engine.Ruleset // with the plan
	static  *field.Static
	audit   *audit.Ruleset // nil without that source
	outputs *output.Set    // missing until open
	hosts   lookup         // to be awaited before the first event
	// recordings are nil if none are made.
	recordings *recordings
}

// load makes the settings of a configuration, all but the outputs.
func (s *sensor) load(ctx context.Context, cfg *config.Config) (*settings, error) {
	set, err := s.loadRules(cfg)
	if err != nil {
		return nil, err
	}
	set.hosts = s.startLookup(ctx, set.rules.Plan.Hosts)
	set.static = s.newStatic(cfg)
	return set, nil
}

// now is the settings in force.
func (s *sensor) now() *settings { return s.current.Load() }

// swap brings next into force. It runs while no engine looks at an event, and
// cannot fail.
func (s *sensor) swap(next *settings) {
	was := s.now()
	s.totals.addAll(was)
	s.engine.Swap(next.rules, next.static)
	if s.audit != nil {
		s.audit.engine.Swap(next.audit, auditStatic(next.static))
	}
	s.throttle.Limit(next.config.Outputs.Rate, next.config.Outputs.MaxBurst)
	if next.recordings == nil {
		s.recorder.Stop()
	}
	was.outputs.Replace(next.outputs)
	s.current.Store(next)
}
