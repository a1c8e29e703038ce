// Package stand is the test stand of a capacity run: a started or running sensor
// (Peregrine or Falco), the place that limits it, and a bench session that loads
// it. It implements sweep.Stand.
package stand

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/target"
	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/limit"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
	"github.com/peregrine-sec/peregrine/internal/endpoint"
	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/profile"
)

// Kind is the kind of a sensor.
type Kind string

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

	// Of a running sensor: exactly one of the first four.
	PID          int
	Unit         string // systemd
	Container    string // Docker
	Pod          string // ID of a container of a Kubernetes pod, which has its limits already
	DockerSocket string
	Alerts       string // where its alerts come from: see package endpoint
	Stats        string // its stats file or metrics address; "" for none

	Actions []*action.Action
	Profile *profile.Profile // the workload that background syscalls are; nil for noise
	// CountSyscalls counts the host's syscalls with our own probe, at a cost
	// of some 100 ns for each.
	CountSyscalls bool
	Seed          uint64
	Force         bool // measure although the preflight says not to
	// Drain is how long after a round alerts count as in time, Watch how long
	// the idle sensor is watched before the first round, Patience how long it may
	// take until it has been seen to work. 0 for the defaults.
	Drain, Watch, Patience time.Duration

	Host       limit.Host
	JournalDir string // "" for limit.JournalDir
	Dir        string // for the sensor's stats; must exist
	Log        io.Writer
	Generate   bench.Generate                   // nil for the real one
	Progress   func(bench.Progress)             // of a round under way; may be nil
	Say        func(format string, args ...any) // what takes long; nil for silence
}

// Stand implements sweep.Stand.
type Stand struct {
	Options
	falco build // of Falco
}

var (
	_ sweep.Stand  = (*Stand)(nil)
	_ sweep.Sensor = (*sensor)(nil)
)

// New checks the options, as far as that needs no sensor.
func New(ctx context.Context, o Options) (*Stand, error) {
	o.JournalDir = cmp.Or(o.JournalDir, limit.JournalDir)
	o.DockerSocket = cmp.Or(o.DockerSocket, limit.DockerSocket)
	o.Watch = cmp.Or(o.Watch, 2*time.Second)
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	if len(o.Actions) == 0 {
		return nil, errors.New("no actions are selected: see `peregrine generate list`")
	}
	s := &Stand{}
	switch o.Kind {
	case Embedded:
		if err := o.checkRules(ctx); err != nil {
			return nil, err
		}
	case Falco:
		program, err := findFalco(o.Program)
		if err != nil {
			return nil, &sweep.PreflightError{Reason: err.Error()}
		}
		o.Program, s.falco = program, build{target.FalcoRelease(ctx, program), target.FalcoHelp(ctx, program)}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	case Running:
		if err := o.checkRunning(); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("sensor %q: expected %s or %s", o.Kind, Embedded, Falco)
	}
	s.Options = o
	return s, nil
}

// checkRules refuses actions whose alerts our own sensor cannot raise, rather
// than wait for them.
func (o *Options) checkRules(ctx context.Context) error {
	if missing := bench.MissingRules(o.Actions, o.embedded(0).Rules(ctx)); len(missing) > 0 && !o.Force {
		return &sweep.PreflightError{Reason: missing[0].Text}
	}
	return ctx.Err()
}

func (o *Options) checkRunning() error {
	named := 0
	for _, given := range []bool{o.PID != 0, o.Unit != "", o.Container != "", o.Pod != ""} {
		if given {
			named++
		}
	}
	if named != 1 {
		return errors.New("name the running sensor with exactly one of --pid, --unit, --container and --pod")
	}
	if o.Alerts == "" {
		return errors.New("--alerts is missing: name the source of the running sensor's alerts, such as http://127.0.0.1:8080, file:PATH, unix:PATH or grpc:PATH")
	}
	if _, err := o.alertsFrom(); err != nil {
		return err
	}
	if o.Stats != "" {
		if _, err := endpoint.ParseStats(o.Stats); err != nil {
			return fmt.Errorf("--stats: %w", err)
		}
	}
	return nil
}

// ActionNames lists the actions that raise the alerts.
func (s *Stand) ActionNames() []string {
	var names []string
	for _, a := range s.Actions {
		names = append(names, a.Name)
	}
	return names
}

func (s *Stand) owned() bool { return s.Kind != Running }

func (s *Stand) Open(ctx context.Context, l capacity.Limit) (sweep.Sensor, error) {
	journal, err := limit.OpenJournal(s.JournalDir, s.Host)
	if err != nil {
		return nil, err
	}
	place, err := s.place(ctx, journal)
	if err == nil {
		err = place.Apply(ctx, l)
	}
	if err != nil {
		return nil, errors.Join(err, journal.Undo())
	}
	under := &sensor{Stand: s, limit: l, place: place, journal: journal}
	if err := under.apart(); err != nil {
		return nil, errors.Join(err, journal.Undo())
	}
	return under, nil
}

func (s *Stand) place(ctx context.Context, journal *limit.Journal) (place limit.Place, err error) {
	switch {
	case s.owned():
		return limit.New(s.Host, journal)
	case s.Unit != "":
		place, s.PID, err = limit.ForUnit(ctx, s.Host, journal, s.Unit)
	case s.Container != "":
		place, s.PID, err = limit.ForContainer(ctx, s.Host, journal, s.DockerSocket, s.Container)
	case s.Pod != "":
		place, s.PID, err = limit.ForPod(s.Host, s.Pod)
	default:
		if err := s.checkSensor(); err != nil {
			return nil, err // before it is moved
		}
		place, err = limit.ForPID(ctx, s.Host, journal, s.PID, fmt.Sprintf("peregrine-capacity-%d", os.Getpid()))
	}
	return place, err
}

// checkSensor refuses a process that is not a sensor: other processes must not
// be limited.
func (s *Stand) checkSensor() error {
	var files []string
	if from, err := s.alertsFrom(); err == nil && from.Kind == endpoint.File {
		files = append(files, from.Path)
	}
	if from, err := endpoint.ParseStats(s.Stats); err == nil && from.Kind == endpoint.File {
		files = append(files, from.Path)
	}
	if err := target.CheckSensor(s.PID, files...); err != nil {
		return &sweep.PreflightError{Reason: "--pid: " + err.Error()}
	}
	return nil
}

// statsInterval is how often our own sensor writes its stats: often enough to
// see when in a round the first drop was.
const statsInterval = 250 * time.Millisecond

// embedded is our own sensor under a limit.
func (o *Options) embedded(cpus float64) *target.Process {
	return target.Embedded(target.Sensor{Dir: o.Dir, Interval: statsInterval, Args: sensorArgs(o.Config, o.Rules, o.Args), CPUs: cpus, Log: o.Log})
}

// prepare makes the target, without starting it.
func (s *sensor) prepare(ctx context.Context) (target.Target, error) {
	var started *target.Process
	switch s.Kind {
	case Embedded:
		started = s.embedded(s.limit.CPU)
	case Falco:
		config := falcoConfig(&s.Options, s.falco)
		config.CPUs = s.limit.CPU
		started = target.NewProcess(config)
	default:
		return s.connect(ctx)
	}
	started.Tell(s.say)
	return started, nil
}

// connect reaches a sensor that runs already.
func (s *Stand) connect(ctx context.Context) (target.Target, error) {
	alerts, err := s.openAlerts(ctx)
	if err != nil {
		return nil, err
	}
	reader, err := s.openStats()
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

// preflight has each action's alert seen.
func (s *sensor) preflight(ctx context.Context) error {
	found, err := s.session.Preflight(ctx, s.Watch)
	if err != nil {
		return err
	}
	for _, check := range found.Checks {
		fmt.Fprintf(s.Log, "preflight: %s: %s: %s\n", check.Status, check.Name, check.Text)
	}
	var texts []string
	for _, check := range found.Failed() {
		texts = append(texts, check.Name+": "+check.Text)
	}
	reason := strings.Join(texts, "; ")
	switch {
	case reason == "":
		return nil
	case s.Ended():
		return errors.New("it ended during the preflight")
	case s.Force:
		fmt.Fprintf(s.Log, "preflight failed, and --force goes on: %s\n", reason)
		return nil
	}
	return &sweep.PreflightError{Reason: reason}
}
