package sensor

import (
	"context"
	"net/netip"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/capture"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
	"github.com/peregrine-sec/peregrine/internal/sensor/recording"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

// recorder makes recordings around alerts, as long as the sensor runs.
type recorder struct {
	*recording.Recorder
	stop context.CancelFunc
}

// recordings are which alerts are recorded around, and for how long; nil for
// none.
type recordings struct {
	rules  map[string]time.Duration // by name
	limits recording.Limits
}

func newRecordings(cfg *config.Config, list []*rules.Rule) *recordings {
	if !cfg.Capture.Enabled {
		return nil
	}
	const mega = 1 << 20
	own := cfg.Peregrine.Recordings
	r := &recordings{
		rules: make(map[string]time.Duration),
		limits: recording.Limits{
			Prefix: cfg.Capture.PathPrefix, FileSize: int64(cfg.Capture.MaxFileSizeMB) * mega,
			Files: own.Files, Total: int64(own.TotalMB) * mega, Buffer: own.BufferMB * mega,
		},
	}
	for _, rule := range list {
		if !rule.Capture && cfg.Capture.Mode != "all_rules" {
			continue
		}
		ms := cfg.Capture.Duration
		if rule.CaptureDuration > 0 {
			ms = int(rule.CaptureDuration)
		}
		r.rules[rule.Name] = time.Duration(ms) * time.Millisecond
	}
	return r
}

// emitRecorded is emit, and records around the alert if its rule asks for that.
// As in Falco, a limit on the rate of alerts does not limit recordings.
func (s *sensor) emitRecorded(emit func(*alert.Alert)) func(*alert.Alert) {
	return func(a *alert.Alert) {
		if r := s.now().recordings; r != nil {
			if d, ok := r.rules[a.Rule]; ok {
				s.recorder.Alert(s.engine, s.engine.Time(), d, r.limits)
			}
		}
		emit(a)
	}
}

// newRecorder makes the recorder, which is idle until the first alert.
func (s *sensor) newRecorder(proc string) *recording.Recorder {
	return recording.New(recording.Options{
		Table: s.table, Log: s.log, Machine: machine(s.host), Interfaces: interfaces(s.host), Proc: proc, Limited: s.captureLimited,
	})
}

// startRecorder starts the goroutine that writes recordings.
func (s *sensor) startRecorder() {
	ctx, cancel := context.WithCancel(context.Background())
	s.recorder.stop = cancel
	go s.recorder.Run(ctx)
}

func (s *sensor) captureLimited(path string, size int64) {
	s.log.Warn("a recording has reached its size limit", "file", path, "bytes", size)
	s.internalAlert(alert.Message{
		Rule: alert.RuleCaptureSize, Priority: alert.Informational, Text: alert.RuleCaptureSize,
		Fields: []alert.Field{
			{Name: "capture_file", Value: alert.Value{Kind: alert.String, Str: path}},
			{Name: "capture_bytes", Value: alert.Value{Kind: alert.Uint, Uint: uint64(size)}},
		},
	})
}

func machine(h metrics.Host) capture.Machine {
	return capture.Machine{
		CPUs: uint32(h.CPUs), MaxPID: 1 << 22, Hostname: h.Name, BootTime: uint64(h.BootTime), // PID_MAX_LIMIT
	}
}

func interfaces(h metrics.Host) (list []capture.Interface) {
	for _, i := range h.Interfaces {
		for _, ip := range append(append([]string(nil), i.IPv4...), i.IPv6...) {
			if a, err := netip.ParseAddr(ip); err == nil { // they were addresses a moment ago
				list = append(list, capture.Interface{Name: i.Name, Prefix: netip.PrefixFrom(a, a.BitLen())})
			}
		}
	}
	return list
}
