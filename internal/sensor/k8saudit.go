package sensor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/audit"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/engine"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

// auditSource is the source of Kubernetes audit events with its engine.
type auditSource struct {
	engine   *audit.Engine
	source   *audit.Source
	emitting sync.Mutex // two engines share the throttle
}

// auditOpen is where audit events come from; empty if they are not wanted.
func (s *sensor) auditOpen(cfg *config.Config) string {
	if s.opt.DisableAudit || cfg.Engine.Kind == "replay" {
		return ""
	}
	return cfg.K8sAuditOpen()
}

// auditRules makes the rule set of audit events; nil without that source. The
// source is opened at the start only, and needs a rule set from then on.
func (s *sensor) auditRules(cfg *config.Config, list []*rules.Rule, alerts alert.Options) (*audit.Ruleset, error) {
	wanted := s.auditOpen(cfg) != ""
	if s.current.Load() != nil {
		wanted = s.audit != nil
	}
	about := rules.OfSource(field.K8sAuditSource, list)
	if !wanted {
		if len(about) > 0 && len(cfg.RulesFiles) > 0 {
			s.log.Warn("rules of source k8s_audit will never match: no such events are received; see plugins, or peregrine.k8s_audit", "rules", len(about))
		}
		return nil, nil
	}
	if len(about) == 0 {
		s.log.Warn("audit events are received, but no rule has the source k8s_audit")
	}
	alerts.Scratch = new(alert.Scratch)
	set, err := audit.NewRuleset(about, cfg.RuleMatch == "all", func(r *rules.Rule) (engine.Formatter, error) { return newFormatter(r, alerts) })
	if err != nil {
		return nil, fmt.Errorf("compile rules of source k8s_audit: %w", err)
	}
	s.log.Info("rules of source k8s_audit loaded", "enabled", len(about))
	return set, nil
}

func auditStatic(of *field.Static) *field.Static {
	static := *of
	static.Source = field.K8sAuditSource
	return &static
}

func (s *sensor) openAudit(cfg *config.Config) (*audit.Source, error) {
	own, plugin := cfg.Peregrine.K8sAudit, cfg.Plugins.K8sAudit
	source, err := audit.Open(audit.Options{
		Open: s.auditOpen(cfg), Certificate: cfg.K8sAuditCertificate(), ClientCA: own.ClientCA, Insecure: own.Insecure, Log: s.log,
		Limits: audit.Limits{
			EventBytes: plugin.MaxEvent, BodyBytes: plugin.MaxBatchSize, Patience: time.Duration(own.Patience) * time.Millisecond,
		},
	})
	if err == nil && source.Address != "" {
		s.log.Info("receiving Kubernetes audit events", "at", source.Address)
	}
	return source, err
}

// serveAudit takes audit events until ctx ends. The engine ends after the code
// that sends, so that every accepted event is matched.
func (s *sensor) serveAudit(ctx context.Context) error {
	matching, end := context.WithCancel(context.Background())
	var engine sync.WaitGroup
	engine.Go(func() { s.audit.engine.Run(matching, s.audit.source.Bodies()) })
	defer engine.Wait()
	defer end()
	err := s.audit.source.Serve(ctx)
	alone := s.now().config.Engine.Kind == "nodriver" // there is nothing else to wait for
	switch {
	case ctx.Err() != nil || err != nil && alone:
		return err
	case err != nil:
		s.log.Error("no more Kubernetes audit events; syscalls are still watched", "error", err)
	default:
		s.log.Info("no more Kubernetes audit events: the files were read to their end")
	}
	if alone {
		s.finish()
	}
	<-ctx.Done()
	return nil
}

// counters runs on the engine's goroutine.
func (a *auditSource) counters() *metrics.Audit {
	c := a.source.Counters()
	events, alerts := a.engine.Counts()
	return &metrics.Audit{
		Bodies: c.Bodies, Bytes: c.Bytes, Events: events, Malformed: c.Malformed, Oversized: c.Oversized,
		Refused: c.Refused, Rejected: c.Rejected, Alerts: alerts,
	}
}

// onEngines runs f while no engine looks at an event. That of syscalls, which
// must not wait, is stopped last.
func (s *sensor) onEngines(ctx context.Context, f func()) error {
	if s.audit == nil {
		return s.engine.Do(ctx, f)
	}
	var inner error
	err := s.audit.engine.Do(ctx, func() { inner = s.engine.Do(ctx, f) })
	if err == nil {
		err = inner
	}
	return err
}

// emitShared is emit for two engines.
func (s *sensor) emitShared(a *alert.Alert) {
	s.audit.emitting.Lock()
	defer s.audit.emitting.Unlock()
	s.emit(a)
}
