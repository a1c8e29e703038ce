// Package sensor assembles a running sensor from its parts: configuration,
// rules, probe or capture, engine, outputs. It owns the order of start-up
// (attach, snapshot, ready), the reload of rules and configuration without
// losing an event, and the stop, after which nothing stays attached and
// nothing is left in a queue.
package sensor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/audit"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/container/apiserver"
	"github.com/peregrine-sec/peregrine/internal/sensor/container/runtimes"
	"github.com/peregrine-sec/peregrine/internal/sensor/engine"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
	"github.com/peregrine-sec/peregrine/internal/sensor/output"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// Options are the settings of a sensor from its command line.
type Options struct {
	// LoadConfig reads the configuration; it is called again for a reload.
	LoadConfig func() (*config.Config, error)
	// Files tracks the files that LoadConfig reads; a change of these reloads.
	// Nil: no file is watched.
	Files  *config.Files
	Stdout *os.File
	Stderr io.Writer
	Getenv func(string) string
	// Hangup requests a reload, Reopen requests that outputs are reopened.
	Hangup, Reopen <-chan os.Signal
	// Hurry ends when a stop must not wait for receivers; nil: never.
	Hurry context.Context

	StatsFile     string // "" for none
	StatsInterval time.Duration
	MaxDuration   time.Duration // 0: until the context ends
	Print         string        // -p
	PIDFile       string
	DryRun        bool
	Verbose       bool
	Selection
}

// Selection is which sources and rules the command line enables.
type Selection struct {
	DisableAudit bool     // no Kubernetes audit events, whatever is configured
	DisableRules []string // substrings of names
	DisableTags  []string
	OnlyTags     []string
}

// sensor is one running sensor.
type sensor struct {
	opt      Options
	log      *slog.Logger
	logOut   *logWriter
	current  atomic.Pointer[settings]
	throttle *alert.Throttle
	hostname string
	table    *state.Table
	engine   *engine.Engine
	source   source
	audit    *auditSource       // nil without that source
	finish   context.CancelFunc // ends the run
	// inventory asks the container runtimes; nil for none.
	inventory *runtimes.Inventory
	// pods asks the Kubernetes API server; nil for none.
	pods     *apiserver.Watcher
	started  time.Time
	ready    atomic.Bool
	ballast  []byte        // until it is ready
	reloaded chan struct{} // tells that memory can be given back
	recorder recorder
	fatal    chan error

	statsFile, metricsFile trouble

	mu       sync.Mutex // guards what follows
	reloads  reloads
	internal uint64 // messages about itself that were sent as alerts

	totals totals // of rule sets no longer in force; the engine's goroutine owns it
	drops  *metrics.DropPolicy
	host   metrics.Host
}

// Run starts a sensor and returns when ctx has ended, the events have, or the
// sensor cannot go on. A nil error means a proper stop: all outputs have been
// flushed and nothing is left attached.
func Run(ctx context.Context, opt Options) error {
	if opt.Getenv("GOGC") == "" {
		// Only alerts allocate: collecting twice as often costs little and halves
		// the growth of the heap between collections.
		defer debug.SetGCPercent(debug.SetGCPercent(50))
	}
	ballast := make([]byte, ballastBytes)
	s, err := newSensor(opt)
	if err != nil {
		return err
	}
	s.ballast = ballast
	defer func() { s.logOut.close(s.patience()) }()
	if opt.DryRun {
		s.now().hosts.wait() // logs names that are not found
		return nil
	}
	if opt.PIDFile != "" {
		remove, err := writePIDFile(opt.PIDFile)
		if err != nil {
			return err
		}
		defer remove()
	}
	if opt.MaxDuration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, opt.MaxDuration)
		defer cancel()
	}
	if err := s.open(); err != nil {
		return err
	}
	err = s.run(ctx)
	return errors.Join(err, s.stop())
}

// sayTimeout is how long the end of a sensor waits for the reader of its log
// and its summary.
const sayTimeout = time.Second

// patience is how long it waits now.
func (s *sensor) patience() time.Duration {
	if s.opt.Hurry.Err() != nil {
		return sayTimeout / 10
	}
	return sayTimeout
}

// newSensor loads and checks everything that can be checked without touching
// the kernel or a receiver.
func newSensor(opt Options) (*sensor, error) {
	cfg, err := opt.LoadConfig()
	if err != nil {
		return nil, err
	}
	if opt.Hurry == nil {
		opt.Hurry = context.Background()
	}
	log, logOut := newLogger(cfg, opt.Stderr)
	for _, note := range cfg.Notes {
		log.Log(context.Background(), note.Severity.Level(), note.String())
	}
	s := &sensor{
		opt: opt, log: log, logOut: logOut, started: time.Now(), hostname: hostname(opt.Getenv),
		fatal: make(chan error, 1), totals: totals{}, reloaded: make(chan struct{}, 1),
		statsFile: trouble{what: "the statistics file"}, metricsFile: trouble{what: "metrics.output_file"},
	}
	s.host = metrics.ReadHost(s.hostname)
	s.drops = metrics.NewDropPolicy(cfg.Drops)
	first, err := s.load(context.Background(), cfg)
	if err != nil {
		logOut.close(sayTimeout)
		return nil, err
	}
	s.current.Store(first)
	s.throttle = alert.NewThrottle(cfg.Outputs.Rate, cfg.Outputs.MaxBurst)
	s.inventory = s.newInventory(cfg)
	s.pods = s.newPods(cfg)
	table := s.tableOptions(cfg)
	s.table = state.NewTable(table)
	s.recorder.Recorder = s.newRecorder(table.ProcRoot)
	options := s.engineOptions(cfg, first)
	if first.audit != nil {
		options.Emit = s.emitShared
		s.audit = &auditSource{engine: audit.NewEngine(first.audit, auditStatic(first.static), s.emitShared)}
	}
	options.Emit = s.emitRecorded(options.Emit)
	s.engine = engine.New(options)
	return s, nil
}

// open connects to the world: outputs first, so that the first alert has
// somewhere to go, then the source of events.
func (s *sensor) open() error {
	complete := *s.now()
	var err error
	complete.outputs, err = output.Open(complete.config, output.Options{Log: s.log, Stdout: s.opt.Stdout, AllGone: s.noReceiver})
	if err != nil {
		return fmt.Errorf("open outputs: %w", err)
	}
	s.current.Store(&complete)
	if s.audit != nil {
		if s.audit.source, err = s.openAudit(complete.config); err != nil {
			return errors.Join(err, s.closeOutputs())
		}
	}
	if s.source, err = s.openSource(); err != nil {
		if s.audit != nil {
			err = errors.Join(err, s.audit.source.Close())
		}
		return errors.Join(err, s.closeOutputs())
	}
	complete.hosts.wait()
	s.startRecorder()
	return nil
}

// noReceiver ends a sensor whose alerts have no receiver left.
func (s *sensor) noReceiver() {
	s.fail(errors.New("standard output is closed, and no other output is enabled"))
}

// fail ends the sensor because of err, if nothing has ended it before.
func (s *sensor) fail(err error) {
	select {
	case s.fatal <- err:
	default: // one reason is enough
	}
}

// emit is called by the engine for every match, on its goroutine.
func (s *sensor) emit(a *alert.Alert) {
	now := a.Time // of the capture, or else alerts would pass that would not have
	if s.now().config.Engine.Kind != "replay" {
		now = s.steady(time.Now())
	}
	if !s.throttle.Allow(now) {
		a.Share(1)
		a.Release()
		return
	}
	s.now().outputs.Send(a)
}

func (s *sensor) newStatic(cfg *config.Config) *field.Static {
	return &field.Static{
		Hostname: s.hostname, Source: "syscall", Snaplen: cfg.FalcoLibs.Snaplen, Base64: cfg.Base64,
		StaticFields: cfg.StaticFields, Proc: s.tableOptions(cfg).ProcRoot,
	}
}

func (s *sensor) tableOptions(cfg *config.Config) state.Options {
	o := state.Options{
		Log: s.log, MaxProcesses: cfg.FalcoLibs.ThreadTableSize,
		PurgeInterval: time.Duration(cfg.FalcoLibs.PurgeInterval) * time.Second,
		PurgeTimeout:  time.Duration(cfg.FalcoLibs.PurgeTimeout) * time.Second,
		Containers:    s.containerOptions(cfg),
	}
	if cfg.Engine.Kind != "replay" {
		o.ProcRoot, o.HostRoot = "/proc", "/"
		if root := s.hostRoot(); root != "" {
			o.ProcRoot, o.HostRoot = root+"/proc", root
		}
	}
	return o
}

// stop ends the sensor after its loop: outputs deliver their queues, for
// output_timeout or until Options.Hurry ends, and only then does the summary
// follow the alerts on standard output.
func (s *sensor) stop() error {
	s.recorder.Close(s.recorder.stop)
	err := s.closeOutputs()
	s.summary()
	return errors.Join(err, s.source.Close())
}

func (s *sensor) closeOutputs() error {
	now := s.now()
	timeout := time.Duration(now.config.OutputTimeout) * time.Millisecond
	ctx, cancel := context.WithTimeout(s.opt.Hurry, timeout)
	defer cancel()
	if err := now.outputs.Close(ctx); err != nil {
		return fmt.Errorf("close outputs: %w", err)
	}
	return nil
}

// hostname is the name that alerts carry.
func hostname(getenv func(string) string) string {
	name, _ := os.Hostname() // without one: unknown
	return cmp.Or(getenv("FALCO_HOSTNAME"), name, "unknown")
}
