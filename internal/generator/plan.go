package generator

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/generator/sandbox"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

// Plan describes a run without performing it.
type Plan struct {
	Sandbox string    `json:"sandbox"`
	Journal string    `json:"journal"`
	Actions []Planned `json:"actions"`
}

// Planned is one action of a plan.
type Planned struct {
	Name      string   `json:"name"`
	Summary   string   `json:"summary"`
	Rule      string   `json:"rule,omitempty"`
	Where     string   `json:"where"`
	Files     []string `json:"files,omitempty"` // directories in which it makes files of its own
	Processes []string `json:"processes,omitempty"`
	Network   bool     `json:"network"`
	Root      bool     `json:"root"`
	Cleanup   string   `json:"cleanup"`
	Skip      string   `json:"skip,omitempty"` // why it would not run
}

// NewPlan plans a run.
func NewPlan(o Options) (*Plan, error) {
	actions, err := o.resolve()
	if err != nil {
		return nil, err
	}
	p := &Plan{Sandbox: o.describe(), Journal: cmp.Or(o.Sandbox.StateDir, sandbox.DefaultStateDir()), Actions: make([]Planned, len(actions))}
	for _, part := range o.split(actions) {
		env := part.place(&o)
		for i, a := range part.actions {
			planned := Planned{Name: a.Name, Summary: a.Summary, Rule: a.Rule, Where: part.where(), Files: a.Touches,
				Processes: a.Spawns, Network: a.Needs.Network, Root: a.Needs.Root, Cleanup: cleanupOf(a, o.Sandbox.Off)}
			if err := a.Applies(env); err != nil {
				planned.Skip = err.Error()
			}
			p.Actions[part.indices[i]] = planned
		}
	}
	return p, nil
}

func (o *Options) describe() string {
	network := "a private network namespace without a way out"
	if o.Sandbox.Egress {
		network = "the host's network"
	}
	if o.Sandbox.Off {
		return "none: the host's own files, the host's network"
	}
	place := "private /tmp, overlays on the directories below, " + network
	if o.Sandbox.Image != "" {
		place = "real containers of image " + o.Sandbox.Image + ", with " + place
	}
	return place
}

func (p *part) where() string {
	switch {
	case p.real && p.privileged:
		return "real container, privileged"
	case p.real:
		return "real container"
	case p.lookalike:
		return "container look-alike"
	case p.inside:
		return "this container"
	}
	return "host"
}

func cleanupOf(a *action.Action, off bool) string {
	switch {
	case !off:
		return "vanishes with the sandbox"
	case len(a.Touches) > 0:
		return "removed at the end; in the undo journal"
	}
	return "scratch directory removed at the end; in the undo journal"
}

// Write writes the plan as "text" or "json".
func (p *Plan) Write(w io.Writer, format string) error {
	switch format {
	case "json":
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(p)
	case "text":
		_, err := io.WriteString(w, p.text())
		return err
	}
	return fmt.Errorf("output format %q: expected text or json", format)
}

func (p *Plan) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "sandbox  %s\njournal  %s\n", p.Sandbox, p.Journal)
	for _, a := range p.Actions {
		fmt.Fprintf(&b, "\n%s: %s\n", a.Name, a.Summary)
		if a.Skip != "" {
			fmt.Fprintf(&b, "  skipped    %s\n", a.Skip)
			continue
		}
		fmt.Fprintf(&b, "  where      %s\n", a.Where)
		if len(a.Files) > 0 {
			fmt.Fprintf(&b, "  files      peregrine-* in %s\n", strings.Join(a.Files, ", "))
		}
		if len(a.Processes) > 0 {
			fmt.Fprintf(&b, "  processes  %s (this program under these names)\n", strings.Join(a.Processes, ", "))
		}
		if a.Network {
			fmt.Fprintf(&b, "  network    addresses outside the host's own\n")
		}
		if a.Root {
			fmt.Fprintf(&b, "  privileges root\n")
		}
		fmt.Fprintf(&b, "  cleanup    %s\n", a.Cleanup)
	}
	return b.String()
}

// Check validates the options.
func (o *Options) Check() error {
	_, err := o.resolve()
	return err
}

// Check says, before anything runs, why a run with these options cannot
// do its work: no permission for the sandbox, or no action that applies.
func Check(o Options) error {
	plan, err := NewPlan(o)
	if err != nil {
		return err
	}
	if o.Sandbox.Image == "" && !o.Sandbox.Off && !hasSysAdmin() {
		return errors.New("the sandbox needs CAP_SYS_ADMIN: run as root, or with --no-sandbox on the host's own files")
	}
	var reasons []string
	for _, a := range plan.Actions {
		if a.Skip == "" {
			return nil
		}
		reasons = append(reasons, a.Name+": "+a.Skip)
	}
	if len(reasons) > 5 {
		reasons = append(reasons[:5], fmt.Sprintf("and %d more", len(reasons)-5))
	}
	return fmt.Errorf("none of the selected actions can run here:\n  %s", strings.Join(reasons, "\n  "))
}

// hasSysAdmin says whether CAP_SYS_ADMIN is effective.
func hasSysAdmin() bool {
	s, err := procfs.Host.Status(0)
	return err == nil && s.CapEff&(1<<unix.CAP_SYS_ADMIN) != 0
}

// Weigh sets the choices' weights from NAME=N pairs. A name is the full one or
// its part after the dot.
func Weigh(choices []Choice, pairs []string) error {
	for _, pair := range pairs {
		name, text, _ := strings.Cut(pair, "=")
		weight, err := strconv.Atoi(text)
		if err != nil || weight < 1 || weight > maxWeight {
			return fmt.Errorf("weight %q: expected NAME=N with N from 1 to %d", pair, maxWeight)
		}
		found := false
		for i := range choices {
			_, short, _ := strings.Cut(choices[i].Name, ".")
			if choices[i].Name == name || short == name {
				choices[i].Weight, found = weight, true
			}
		}
		if !found {
			return fmt.Errorf("weight %q: no such action is selected", pair)
		}
	}
	return nil
}

// maxWeight bounds the tables of the order.
const maxWeight = 1000
