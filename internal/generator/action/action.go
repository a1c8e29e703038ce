// Package action is the catalogue of the generator's actions: one file per
// action, each with the rule that it fires, the files it touches, its needs and
// cost, and its cleanup. Names and rules are those of Falco's event-generator
// and rule files; noise.* actions fire no rule.
//
// An action is prepared once per worker (Prepare: files, children and sockets
// it uses every time) and then runs many times. Run takes syscalls of its own
// rather than a shell's or a tool's; where a rule wants a process of a certain
// name, it is this binary under that name (package child). Everything that
// outlives Run is written to the environment's Journal before it is made.
package action

import (
	"errors"
	"fmt"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/generator/artifact"
	"github.com/peregrine-sec/peregrine/internal/profile"
)

// RuleSet says which of Falco's rule files holds an action's rule.
type RuleSet string

// The rule files, by maturity.
const (
	Stable     RuleSet = "stable"
	Incubating RuleSet = "incubating"
	Sandbox    RuleSet = "sandbox"
	K8sAudit   RuleSet = "k8saudit"
	NoRule     RuleSet = "none"
)

// Cost is the class of an action's duration.
type Cost string

const (
	Fast    Cost = "fast"    // syscalls of this process: microseconds
	Process Cost = "process" // starts a child: a few milliseconds
	Slow    Cost = "slow"    // waits for something: up to seconds
)

// Fit says whether an action serves as load of a bench.
type Fit string

// Fitness for bench.
const (
	BenchYes  Fit = "yes"
	BenchSlow Fit = "slow" // at some hundred per second at most
	BenchNo   Fit = "no"
)

// Place is where an action makes sense.
type Place string

const (
	Anywhere  Place = "any"
	Host      Place = "host"
	Container Place = "container"
	// Privileged needs a real container runtime: only its metadata tell a
	// sensor that a container is privileged.
	Privileged Place = "privileged container"
	Cluster    Place = "cluster"
)

// Needs are the preconditions of an action.
type Needs struct {
	Place Place `json:"place"`
	Root  bool  `json:"root"`
	// Network says that it talks to addresses that only the private network
	// namespace of the sandbox keeps on this host.
	Network bool `json:"network"`
	// Inbound says that it listens at one of them.
	Inbound bool `json:"inbound,omitempty"`
}

// Action is one entry of the catalogue. It does not change.
type Action struct {
	Name    string   `json:"name"` // collection.Name
	Summary string   `json:"summary"`
	Rule    string   `json:"rule,omitempty"` // the exact name; "" fires none
	RuleSet RuleSet  `json:"ruleset"`
	RuleOff bool     `json:"rule_disabled,omitempty"` // disabled in its file
	Tags    []string `json:"tags,omitempty"`          // MITRE and others, from the rule
	// Touches are the paths it creates, changes or removes things in; the
	// sandbox lays an overlay over their directories. Names within them start
	// with the run's prefix.
	Touches []string `json:"touches,omitempty"`
	// Spawns are the names of the processes that it starts.
	Spawns   []string `json:"spawns,omitempty"`
	Needs    Needs    `json:"needs"`
	Cost     Cost     `json:"cost"`
	Bench    Fit      `json:"bench"`
	BenchWhy string   `json:"bench_why,omitempty"`
	Default  bool     `json:"default"`
	// Syscalls is how many syscalls one run makes, for noise actions.
	Syscalls int `json:"syscalls,omitempty"`

	prepare func(*prep) (func() error, error)
}

// Risk is the effect of an action on the host without the sandbox.
type Risk string

// The risks. In all cases, actions remove the files that they created.
const (
	NoRisk      Risk = "none"    // nothing but scratch files and processes of its own
	FilesRisk   Risk = "files"   // makes files of its own among the system's
	NetworkRisk Risk = "network" // needs addresses that are not on this host
)

// Risk returns the effect of the action on the host without the sandbox.
func (a *Action) Risk() Risk {
	switch {
	case a.Needs.Network:
		return NetworkRisk
	case len(a.Touches) > 0:
		return FilesRisk
	}
	return NoRisk
}

// Collection is the part of the name before the dot.
func (a *Action) Collection() string {
	collection, _, _ := strings.Cut(a.Name, ".")
	return collection
}

// SkipError says why an action cannot do its work here. It is no failure.
type SkipError struct{ Reason string }

func (e *SkipError) Error() string { return e.Reason }

func skip(reason string) error { return &SkipError{reason} }

// Journal records everything that outlives a run of an action, before it is
// made, so that it can be undone if the process is killed meanwhile.
type Journal interface {
	// Artifact is called before a is made, and again when its inode is known.
	Artifact(a artifact.Artifact) error
}

// Env is where actions are prepared to run.
type Env struct {
	Scratch string  // an empty directory, gone after the run
	Prefix  string  // start of all names created outside Scratch, unique to the worker
	Journal Journal // nil if nothing needs to be undone after a kill
	// Disposable says that all files vanish with the process: removing them
	// would only be events that rules may detect.
	Disposable bool
	// HostRoot says that the root directory is the host's, although Disposable:
	// there is no overlay over it.
	HostRoot bool
	// Exe is a path of this binary that every user may execute and that is
	// not in the upper layer of an overlay.
	Exe string
	// InContainer says that a sensor takes this process to be in a container;
	// Privileged that the container is known to it as a privileged one.
	InContainer bool
	Privileged  bool
	// PrivateNet says that the network namespace has no way out and holds the
	// addresses that actions connect to; Egress that they may leave the host.
	PrivateNet bool
	Egress     bool
	// Like has the recorded arguments that replayed calls are to be like; nil for
	// none.
	Like *profile.Profile
	// Kubernetes is where actions on a cluster work; nil for nowhere.
	Kubernetes APIServer
}

// Runnable is an action that is ready to run, in one worker.
type Runnable struct {
	Action *Action
	run    func() error
	undo   []func() error // last in, first out
}

// Run performs the action once. It does not allocate (actions that start a
// process do, in fork). The error is a syscall.Errno where one was met.
func (r *Runnable) Run() error { return r.run() }

// Close removes the files of Prepare and Run. It tries all, whatever fails.
func (r *Runnable) Close() error {
	var errs []error
	for len(r.undo) > 0 {
		last := len(r.undo) - 1
		if err := r.undo[last](); err != nil {
			errs = append(errs, fmt.Errorf("clean up %s: %w", r.Action.Name, err))
		}
		r.undo = r.undo[:last]
	}
	return errors.Join(errs...)
}

// Prepare checks the action's needs and makes it ready. The error is a
// *SkipError if the action does not apply here.
func (a *Action) Prepare(env Env) (*Runnable, error) {
	if err := a.Applies(env); err != nil {
		return nil, err
	}
	p := &prep{Env: env, runnable: &Runnable{Action: a}}
	run, err := a.prepare(p)
	if err != nil {
		err = errors.Join(fmt.Errorf("prepare %s: %w", a.Name, err), p.runnable.Close())
		return nil, err
	}
	p.runnable.run = run
	return p.runnable, nil
}
