package sensor

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics/live"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics/web"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
	"github.com/peregrine-sec/peregrine/internal/version"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// service runs beside the engine until its context ends. An error stops the
// sensor.
type service func(context.Context) error

// endless is a service that does not fail.
func endless(run func(context.Context)) service {
	return func(ctx context.Context) error { run(ctx); return nil }
}

// services returns the services that the configuration enables.
func (s *sensor) services() ([]service, error) {
	cfg := s.now().config
	list := []service{s.serveReload, s.serveReopen, s.serveWatch, s.serveHosts}
	if cfg.Engine.Kind != "replay" { // which ends soon
		list = append(list, s.serveMemory)
	}
	if s.inventory != nil {
		list = append(list, endless(s.inventory.Run))
	}
	if s.pods != nil {
		list = append(list, endless(s.pods.Run))
	}
	if s.audit != nil {
		list = append(list, s.serveAudit)
	}
	if cfg.Metrics.Enabled {
		list = append(list, s.serveMetrics)
	}
	if s.opt.StatsFile != "" {
		w, err := sensorstats.OpenWriter(s.opt.StatsFile, sensorstats.Labels(os.Environ()))
		if err != nil {
			return nil, err
		}
		list = append(list, func(ctx context.Context) error { return s.serveStats(ctx, w) })
	}
	if cfg.Webserver.Enabled && cfg.Engine.Kind != "replay" { // as in Falco: a busy port does not end a replay
		serve, err := s.webserver(cfg)
		if err != nil {
			return nil, err
		}
		list = append(list, serve)
	}
	if cfg.Peregrine.StatusSocket != "" {
		// A second sensor on the host finds the socket taken: it works without.
		server, err := live.Listen(cfg.Peregrine.StatusSocket, live.Sensor{Snapshot: s.takeSnapshot, Processes: s.knownProcesses, Costs: s.costs}, s.log)
		if err != nil {
			s.log.Warn("sensor status and top do not work with this sensor", "error", err)
		} else {
			list = append(list, server.Serve)
		}
	}
	return list, nil
}

// webserver serves health, versions and metrics.
func (s *sensor) webserver(cfg *config.Config) (service, error) {
	server, err := web.Listen(web.Options{
		Config: cfg.Webserver, Metrics: cfg.Metrics, Log: s.log,
		Take: s.takeSnapshot,
		Ready: func() error {
			if !s.ready.Load() {
				return errors.New("the sensor sees no events yet")
			}
			return nil
		},
		Versions: web.VersionsOf(version.Version(), version.Engine),
	})
	if err != nil {
		return nil, err
	}
	return server.Serve, nil
}

// snapshotTimeout is how long a request for counters waits for the engine.
const snapshotTimeout = 5 * time.Second

func (s *sensor) takeSnapshot(ctx context.Context) (metrics.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	return s.metricsSnapshot(ctx)
}

// serveStats appends to the statistics file of -s.
func (s *sensor) serveStats(ctx context.Context, w *sensorstats.Writer) error {
	defer w.Close()
	return wait.Every(ctx, s.opt.StatsInterval, func(now time.Time) error {
		if err := s.writeStats(ctx, w, now); ctx.Err() == nil {
			s.statsFile.note(s.log, err)
		}
		return nil
	})
}

func (s *sensor) writeStats(ctx context.Context, w *sensorstats.Writer, now time.Time) error {
	var alerts, throttled uint64
	err := s.engine.Do(ctx, func() {
		alerts, throttled = s.engine.Counters().Alerts, s.throttle.Held()
	})
	if err != nil {
		return err
	}
	c, err := s.source.Counters()
	if err != nil || c == nil {
		return err
	}
	extra := sensorstats.Extra{
		Alerts: alerts, Throttled: throttled,
		Filtered: c.Filtered, Delivered: c.Delivered,
		DropsByCause: sensorstats.Causes{
			Buffer: c.Drops.Of(event.DropBuffer), PageFault: c.Drops.Of(event.DropPageFault),
			Scratch: c.Drops.Of(event.DropScratch), Other: c.Drops.Of(event.DropBug),
		},
	}
	for _, ch := range s.now().outputs.Stats() {
		extra.OutputsDropped += ch.Dropped
	}
	return w.Write(now, sensorstats.Counters{Events: c.Seen, Drops: c.Dropped()}, extra)
}

// serveWatch checks every second for lost events and throttled alerts: no loss
// is silent.
func (s *sensor) serveWatch(ctx context.Context) error {
	return wait.Every(ctx, time.Second, func(now time.Time) error {
		if err := s.watchDrops(now); err != nil {
			return err
		}
		s.reportHeld(now)
		return nil
	})
}

// watchDrops applies syscall_event_drops.
func (s *sensor) watchDrops(now time.Time) error {
	c, err := s.source.Counters()
	if err != nil || c == nil {
		return err
	}
	return s.reactToDrops(now.UnixNano(), s.drops.Check(s.steady(now), probeCounters(c)))
}

// lastLook reports losses since the last check, after the source has ended.
func (s *sensor) lastLook() error {
	c, err := s.source.Counters()
	if err != nil || c == nil {
		return err
	}
	now := time.Now()
	s.reportHeld(now.Add(time.Second)) // not too soon after the last report
	return s.reactToDrops(now.UnixNano(), s.drops.Last(s.steady(now), probeCounters(c)))
}

// steady is the time in ns from the start to now, for all that counts in
// intervals: the time of day may be set, and set back.
func (s *sensor) steady(now time.Time) int64 { return int64(now.Sub(s.started)) }

func (s *sensor) reportHeld(now time.Time) {
	if held, say := s.throttle.Report(s.steady(now)); say {
		s.log.Warn("outputs.rate held alerts back", "alerts", held)
	}
}

// reactToDrops takes the actions of r, of a time in ns since the epoch.
func (s *sensor) reactToDrops(now int64, r metrics.Reaction) error {
	if r.Log {
		s.log.Warn(r.Message.Text)
	}
	if r.Alert {
		r.Message.Time = now
		s.internalAlert(r.Message)
	}
	if r.Exit {
		return errors.New(r.Message.Text)
	}
	return nil
}

// serveMetrics publishes snapshots.
func (s *sensor) serveMetrics(ctx context.Context) error {
	take := func() (metrics.Snapshot, error) { return s.metricsSnapshot(ctx) }
	return metrics.NewPublisher(s.now().config.Metrics, take, s.internalAlert).Run(ctx, func(err error) { s.metricsFile.note(s.log, err) })
}

// internalAlert sends a message of the sensor about itself; one without a time
// is about now.
func (s *sensor) internalAlert(m alert.Message) {
	if m.Time == 0 {
		m.Time = time.Now().UnixNano()
	}
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.internal++
	now.outputs.Send(alert.Internal(m, AlertOptions(now.config, s.hostname, "")))
}

func reloadFailure(err error) alert.Message {
	return alert.Message{
		Rule: alert.RuleRestartFailure, Priority: alert.Critical,
		Text: "Falco internal: hot restart failure: " + strings.ReplaceAll(err.Error(), "\n", "; "),
	}
}
