package sensor

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
)

// reloads counts requests to reload by their result.
type reloads struct {
	last   time.Time
	done   uint64
	failed uint64
	err    string // of the last one, if it failed
}

// reloadDebounce is how long files must have been quiet, as in Falco.
const reloadDebounce = 100 * time.Millisecond

// watchAgain is how often files are watched again: watches follow directories
// that are moved away or removed, not those that take their place.
const watchAgain = 5 * time.Second

// serveReload reloads at SIGHUP and, if configured, when a file of the
// configuration or the rules changes.
func (s *sensor) serveReload(ctx context.Context) error {
	changed := make(chan bool)
	stop := func() {}
	defer func() { stop() }()
	for {
		// Restart the watch after each attempt: a refused configuration names
		// files too.
		stop()
		stop = s.watch(ctx, changed)
		if !s.awaitReload(ctx, changed) {
			return nil
		}
	}
}

// awaitReload waits for a reason to reload, and does it. It returns when files
// have to be watched again, since others are read now or links may lead
// elsewhere; false at the end of ctx.
func (s *sensor) awaitReload(ctx context.Context, changed <-chan bool) bool {
	again := time.After(watchAgain)
	for {
		select {
		case <-ctx.Done():
			return false
		case <-again:
			return true
		case <-s.opt.Hangup:
			s.log.Info("SIGHUP received, restarting...")
		case written := <-changed:
			if !s.opt.Files.Changed() {
				if written {
					return true
				}
				continue
			}
			s.log.Info("configuration changed, restarting...")
		}
		s.reload(ctx)
		return true
	}
}

// watch watches the files that the last load has read.
func (s *sensor) watch(ctx context.Context, changed chan<- bool) context.CancelFunc {
	ctx, cancel := context.WithCancel(ctx)
	if s.opt.Files == nil || !s.now().config.WatchConfigFiles {
		return cancel
	}
	paths := s.opt.Files.Paths()
	s.log.Debug("configuration files are watched", "files", len(paths))
	go func() {
		notify := func(written bool) {
			select {
			case changed <- written:
			case <-ctx.Done():
			}
		}
		if err := config.Watch(ctx, paths, reloadDebounce, notify); err != nil && ctx.Err() == nil {
			s.log.Warn("configuration files are not watched; SIGHUP still reloads", "error", err)
		}
	}()
	return cancel
}

// reload prepares everything first, then changes the running sensor at once:
// the probe stays attached, no event is lost. A failed reload changes nothing.
func (s *sensor) reload(ctx context.Context) bool {
	defer func() {
		select {
		case s.reloaded <- struct{}{}:
		default: // one is enough
		}
	}()
	next, err := s.prepare(ctx)
	if err == nil {
		err = s.bringIntoForce(ctx, next)
	}
	n := s.noteReload(err)
	if err != nil {
		s.log.Error("reload: the running configuration stays in force", "error", err)
		s.internalAlert(reloadFailure(err))
		return false
	}
	s.log.Info("reloaded", "reload", n, "rules", len(next.rules.Plan.Rules))
	next.outputs.Settle(ctx)
	return true
}

// noteReload counts a reload, and returns how many have succeeded.
func (s *sensor) noteReload(err error) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.reloads.failed++
		s.reloads.err = err.Error()
	} else {
		s.reloads.done++
		s.reloads.err, s.reloads.last = "", time.Now()
	}
	return s.reloads.done
}

// prepare makes the settings from the present files.
func (s *sensor) prepare(ctx context.Context) (*settings, error) {
	cfg, err := s.opt.LoadConfig()
	if err != nil {
		return nil, err
	}
	for _, note := range cfg.Notes {
		s.log.Log(ctx, note.Severity.Level(), note.String())
	}
	next, err := s.load(ctx, cfg)
	if err != nil {
		return nil, err
	}
	next.hosts.wait()
	was := s.now()
	if next.outputs, err = was.outputs.Prepare(cfg); err != nil {
		return nil, fmt.Errorf("open outputs: %w", err)
	}
	for _, section := range fixedSections(was.config, cfg) {
		s.log.Warn("reload: a changed section takes effect only at the next start", "section", section)
	}
	return next, nil
}

// bringIntoForce swaps the settings. The probe sends what either rule set
// needs while they are exchanged.
func (s *sensor) bringIntoForce(ctx context.Context, next *settings) error {
	was := s.now()
	err := s.source.SetPlan(was.rules.Plan, next.rules.Plan)
	if err == nil {
		err = s.onEngines(ctx, func() { s.swap(next) })
	}
	if err != nil {
		was.outputs.Discard(next.outputs)
		return errors.Join(err, s.source.SetPlan(was.rules.Plan))
	}
	if err := s.source.SetPlan(next.rules.Plan); err != nil {
		s.log.Warn("reload: the probe still sends events that only the previous rules needed", "error", err)
	}
	return nil
}

// fixedSections are those that differ and that only a start can bring into
// force.
func fixedSections(was, now *config.Config) []string {
	var changed []string
	for _, section := range []struct {
		name     string
		was, now any
	}{
		{"engine", was.Engine, now.Engine},
		{"falco_libs", was.FalcoLibs, now.FalcoLibs},
		{"plugins", was.Plugins, now.Plugins},
		{"webserver", was.Webserver, now.Webserver},
		{"metrics", was.Metrics, now.Metrics},
		{"syscall_event_drops", was.Drops, now.Drops},
		{"load_plugins", was.LoadPlugins, now.LoadPlugins},
		{"peregrine.k8s_audit", was.Peregrine.K8sAudit, now.Peregrine.K8sAudit},
		{"peregrine.kubernetes", was.Peregrine.Kubernetes, now.Peregrine.Kubernetes},
		{"peregrine.hooks", was.Peregrine.Hooks, now.Peregrine.Hooks},
		{"peregrine.metadata_wait", was.Peregrine.MetadataWait, now.Peregrine.MetadataWait},
		{"peregrine.status_socket", was.Peregrine.StatusSocket, now.Peregrine.StatusSocket},
		{"log_stderr, log_syslog, log_level", [3]any{was.LogStderr, was.LogSyslog, was.LogLevel}, [3]any{now.LogStderr, now.LogSyslog, now.LogLevel}},
	} {
		if !reflect.DeepEqual(section.was, section.now) {
			changed = append(changed, section.name)
		}
	}
	return changed
}

// serveReopen reopens the outputs on SIGUSR1.
func (s *sensor) serveReopen(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.opt.Reopen:
			s.log.Info("SIGUSR1 received, reopening outputs...")
			s.now().outputs.Reopen()
		}
	}
}
