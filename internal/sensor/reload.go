package sensor

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/engine"
)

// reloads counts what became of requests to reload.
type reloads struct {
	last   time.Time
	done   uint64
	failed uint64
	err    string // of the last one, if it failed
}

// reloadDebounce is how long files must have been quiet, as in Falco.
const reloadDebounce = 100 * time.Millisecond

// serveReload reloads at SIGHUP and, if configured, when a file of the
// configuration or the rules changes.
func (s *sensor) serveReload(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	notify := func() {
		select {
		case changed <- struct{}{}:
		default: // one is already waiting
		}
	}
	watch := func() context.CancelFunc { return s.watch(ctx, notify) }
	stop := watch()
	defer func() { stop() }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.opt.Hangup:
			s.log.Info("SIGHUP received, restarting...")
		case <-changed:
			s.log.Info("configuration changed, restarting...")
		}
		if s.reload(ctx) {
			stop()
			stop = watch()
		}
	}
}

// watch watches the files of the configuration in force.
func (s *sensor) watch(ctx context.Context, changed func()) context.CancelFunc {
	ctx, cancel := context.WithCancel(ctx)
	if !s.config.WatchConfigFiles {
		return cancel
	}
	paths := s.config.WatchPaths()
	go func() {
		if err := config.Watch(ctx, paths, reloadDebounce, changed); err != nil && ctx.Err() == nil {
			s.log.Warn("configuration files are not watched; SIGHUP still reloads", "error", err)
		}
	}()
	return cancel
}

// reload validates everything first and changes the running sensor then: the
// probe stays attached, no event is lost. A bad file changes nothing.
func (s *sensor) reload(ctx context.Context) bool {
	err := s.tryReload(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.reloads.failed++
		s.reloads.err = err.Error()
		s.log.Error("reload: the running configuration stays in force", "error", err)
		s.internalAlert(reloadFailure(err))
		return false
	}
	s.reloads.done++
	s.reloads.err, s.reloads.last = "", time.Now()
	s.log.Info("reloaded", "rules", len(s.engine.Rules().Plan.Rules))
	return true
}

func (s *sensor) tryReload(ctx context.Context) error {
	cfg, err := s.opt.LoadConfig()
	if err != nil {
		return err
	}
	for _, note := range cfg.Notes {
		s.log.Log(ctx, note.Severity.Level(), note.String())
	}
	rules, err := s.loadRules(cfg)
	if err != nil {
		return err
	}
	s.noteFixed(cfg)
	if err := s.outputs.Apply(cfg); err != nil {
		return fmt.Errorf("open outputs: %w", err)
	}
	static := s.newStatic(cfg)
	// The probe sends what either set needs while they are exchanged.
	old := s.engine.Rules()
	if err := s.source.SetPlan(old.Plan, rules.Plan); err != nil {
		return err
	}
	err = s.engine.Do(ctx, func() {
		s.retire(old)
		s.engine.Swap(rules, static)
	})
	if err != nil {
		return err
	}
	s.config, s.sums = cfg, newFileSums(cfg)
	return s.source.SetPlan(rules.Plan)
}

// retire keeps the counters of a rule set that is no longer in force.
func (s *sensor) retire(r *engine.Ruleset) {
	s.totals.add(r)
}

// noteFixed says which changed keys only a restart can bring into force.
func (s *sensor) noteFixed(cfg *config.Config) {
	if cfg.Engine != s.config.Engine {
		s.log.Warn("reload: a changed engine section takes effect at the next start only")
	}
	if cfg.FalcoLibs != s.config.FalcoLibs {
		s.log.Warn("reload: a changed falco_libs section takes effect at the next start only")
	}
	if !reflect.DeepEqual(cfg.Plugins, s.config.Plugins) {
		s.log.Warn("reload: a changed plugins section takes effect at the next start only")
	}
}

// serveReopen opens the outputs anew at SIGUSR1.
func (s *sensor) serveReopen(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.opt.Reopen:
			s.log.Info("SIGUSR1 received, reopening outputs...")
			s.outputs.Reopen()
		}
	}
}
