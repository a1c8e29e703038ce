// Package stand is the test stand of a capacity run: a sensor that is started,
// ours or a Falco, or one that runs already; the place where it is limited;
// and a bench session that loads it. It implements capacity.Rig.
package stand

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/target"
	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/limit"
	"github.com/peregrine-sec/peregrine/internal/generator/action"
)

// Kind is what the sensor is.
type Kind string

// The kinds of sensors.
const (
	Embedded Kind = "embedded" // our own, as a child
	Falco    Kind = "falco"    // an installed Falco, as a child
	Running  Kind = "running"  // one that runs already
)

// Options say which sensor is tested, and how it is reached.
type Options struct {
	Kind    Kind
	Config  string   // the sensor's configuration file; "" for its default
	Rules   []string // rule files; none for its default
	Args    []string // more arguments of the sensor
	Program string   // of Falco; "" looks in the usual places

	// Of a running sensor: exactly one of the first three.
	PID          int
	Unit         string // systemd
	Container    string // Docker
	DockerSocket string
	Alerts       string // where its alerts come from: see package endpoint
	Stats        string // its stats file or metrics address; "" for none

	Actions []*action.Action
	// CountSyscalls counts the host's syscalls with a probe of ours, at a cost
	// of some 100 ns for each.
	CountSyscalls bool
	Seed          uint64
	Force         bool // measure although the preflight says not to
	// Drain is how long after a round alerts count as in time, Watch how long
	// the idle sensor is watched before the first round. 0 for the defaults.
	Drain, Watch time.Duration

	Host       limit.Host
	JournalDir string // "" for limit.JournalDir
	Dir        string // for the sensor's stats; must exist
	Log        io.Writer
	Generate   bench.Generate // nil for the real one
}

// Stand implements capacity.Rig.
type Stand struct {
	Options
}

var (
	_ capacity.Rig   = (*Stand)(nil)
	_ capacity.Bench = (*session)(nil)
)

// New checks the options, as far as that needs no sensor.
func New(o Options) (*Stand, error) {
	if o.JournalDir == "" {
		o.JournalDir = limit.JournalDir
	}
	if o.DockerSocket == "" {
		o.DockerSocket = limit.DockerSocket
	}
	if o.Watch == 0 {
		o.Watch = 2 * time.Second
	}
	if len(o.Actions) == 0 {
		return nil, errors.New("no actions are selected: see `peregrine generate list`")
	}
	switch o.Kind {
	case Embedded:
	case Falco:
		program, err := findFalco(o.Program)
		if err != nil {
			return nil, &capacity.PreflightError{Reason: err.Error()}
		}
		o.Program = program
	case Running:
		if err := o.checkRunning(); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("sensor %q: expected %s or %s", o.Kind, Embedded, Falco)
	}
	return &Stand{Options: o}, nil
}

func (o *Options) checkRunning() error {
	named := 0
	for _, given := range []bool{o.PID != 0, o.Unit != "", o.Container != ""} {
		if given {
			named++
		}
	}
	if named != 1 {
		return errors.New("a running sensor is named by exactly one of --pid, --unit and --container")
	}
	if o.Alerts == "" {
		return errors.New("where do the running sensor's alerts come from? Give --alerts: http://127.0.0.1:8080, a file, unix:PATH or grpc:PATH")
	}
	return nil
}

// Owned implements capacity.Rig.
func (s *Stand) Owned() bool { return s.Kind != Running }

// Place implements capacity.Rig.
func (s *Stand) Place(ctx context.Context) (limit.Place, *limit.Journal, error) {
	journal, err := limit.OpenJournal(s.JournalDir, s.Host)
	if err != nil {
		return nil, nil, err
	}
	place, err := s.place(ctx, journal)
	if err != nil {
		return nil, nil, errors.Join(err, journal.Undo())
	}
	return place, journal, nil
}

func (s *Stand) place(ctx context.Context, journal *limit.Journal) (place limit.Place, err error) {
	switch {
	case s.Owned():
		return limit.New(s.Host, journal)
	case s.Unit != "":
		place, s.PID, err = limit.ForUnit(ctx, s.Host, journal, s.Unit)
	case s.Container != "":
		place, s.PID, err = limit.ForContainer(ctx, s.Host, journal, s.DockerSocket, s.Container)
	default:
		place, err = limit.ForPID(ctx, s.Host, journal, s.PID, fmt.Sprintf("peregrine-capacity-%d", os.Getpid()))
	}
	return place, err
}

// statsInterval is how often our own sensor writes its stats: often enough to
// see when in a round the first drop was.
const statsInterval = 250 * time.Millisecond

// Target prepares the sensor, without starting it.
func (s *Stand) target(ctx context.Context) (target.Target, error) {
	switch s.Kind {
	case Embedded:
		return target.Embedded(s.Dir, statsInterval, sensorArgs(s.Config, s.Rules, s.Args), s.Log), nil
	case Falco:
		return target.NewProcess(falcoConfig(&s.Options)), nil
	}
	alerts, err := openAlerts(ctx, s.Alerts)
	if err != nil {
		return nil, err
	}
	reader, err := openStats(s.Stats)
	if err != nil {
		return nil, errors.Join(err, alerts.Close())
	}
	return target.NewRunning(s.PID, alerts, reader), nil
}

func sensorArgs(config string, rules, more []string) []string {
	var args []string
	if config != "" {
		args = append(args, "-c", config)
	}
	for _, file := range rules {
		args = append(args, "-r", file)
	}
	return append(args, more...)
}

// session is a bench session together with the sensor that it loads.
type session struct {
	*bench.Session
	target target.Target
}

// Start implements capacity.Rig. It returns when every action has been seen to
// raise its alert.
func (s *Stand) Start(ctx context.Context, started func(pid int) error) (capacity.Bench, error) {
	t, err := s.target(ctx)
	if err != nil {
		return nil, err
	}
	if err := t.Start(ctx, started); err != nil {
		return nil, err
	}
	b, err := bench.Open(ctx, bench.Options{Target: t, Actions: s.Actions, Seed: s.Seed, CountSyscalls: s.CountSyscalls, Generate: s.Generate, Drain: s.Drain, Linger: s.Drain})
	if err != nil {
		return nil, errors.Join(err, t.Stop(context.WithoutCancel(ctx)))
	}
	up := &session{b, t}
	if err := s.preflight(ctx, up); err != nil {
		_ = up.Close(context.WithoutCancel(ctx)) // the reason is better known
		return nil, err
	}
	// Without a count in each round, one beforehand has to do; and a kernel
	// that refuses our counter leaves that column empty.
	if !s.CountSyscalls {
		if _, err := up.Calibrate(ctx, time.Second); err != nil {
			fmt.Fprintf(s.Log, "host syscalls are not counted: %v\n", err)
		}
	}
	return up, nil
}

// warmUp is how long a sensor may need from "ready" to its first alert: Falco
// says so two seconds early.
const warmUp = 3

// preflight has each action's alert seen. A sensor that has just come up gets
// more than one chance.
func (s *Stand) preflight(ctx context.Context, up *session) error {
	for attempt := 1; ; attempt++ {
		found, err := up.Preflight(ctx, s.Watch)
		if err != nil {
			return err
		}
		for _, check := range found.Checks {
			fmt.Fprintf(s.Log, "preflight: %s: %s: %s\n", check.Status, check.Name, check.Text)
		}
		failed := found.Failed()
		if len(failed) == 0 {
			return nil
		}
		if attempt < warmUp && s.Owned() {
			continue
		}
		var texts []string
		for _, check := range failed {
			texts = append(texts, check.Name+": "+check.Text)
		}
		if s.Force {
			fmt.Fprintf(s.Log, "preflight failed, and --force goes on: %s\n", strings.Join(texts, "; "))
			return nil
		}
		return &capacity.PreflightError{Reason: strings.Join(texts, "; ")}
	}
}

// perWorker is how many actions per second one generator thread is trusted
// with.
const perWorker = 30_000

// Run implements bench.Runner: it lets the generator have as many threads as
// the rate needs and the machine has.
func (s *session) Run(ctx context.Context, load bench.Load) (bench.Round, error) {
	load.Workers = min(1+int(load.Rate/perWorker), runtime.NumCPU())
	return s.Session.Run(ctx, load)
}

// Close ends the session and the sensor. How a sensor ended that has been
// killed is not an error here: the rounds have told.
func (s *session) Close(ctx context.Context) error {
	exited := false
	select {
	case <-s.target.Exited():
		exited = true
	default:
	}
	err := s.target.Stop(ctx)
	if exited {
		err = nil
	}
	return errors.Join(err, s.Session.Close())
}

// Describe says what is tested, for the report.
func (s *Stand) Describe(ctx context.Context) capacity.Sensor {
	d := capacity.Sensor{Kind: string(s.Kind), Rules: s.Rules, Name: "the Peregrine sensor"}
	files := s.Rules
	switch s.Kind {
	case Embedded:
		d.Command = target.Embedded(s.Dir, statsInterval, sensorArgs(s.Config, s.Rules, s.Args), nil).Command()
		if len(d.Rules) == 0 {
			d.Rules = []string{"default rules, embedded"}
			if self, err := os.Executable(); err == nil {
				files = []string{self} // which holds the rules
			}
		}
	case Falco:
		d.Name = falcoVersion(ctx, s.Program)
		d.Command = falcoConfig(&s.Options).Command
	case Running:
		d.Name = runningName(s.PID, s.Unit, s.Container)
	}
	if s.Config != "" {
		files = append([]string{s.Config}, files...)
	}
	d.SHA256 = digest(files)
	return d
}

func runningName(pid int, unit, container string) string {
	switch {
	case unit != "":
		return "unit " + unit
	case container != "":
		return "container " + container
	}
	name, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "comm"))
	if err != nil {
		return fmt.Sprintf("process %d", pid)
	}
	return fmt.Sprintf("%s (process %d)", strings.TrimSpace(string(name)), pid)
}
