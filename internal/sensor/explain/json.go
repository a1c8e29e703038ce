package explain

import (
	"encoding/json"
	"io"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

// explained is what WriteRule says, for programs.
type explained struct {
	Rule    string   `json:"rule"`
	File    string   `json:"file"`
	Line    int      `json:"line"`
	Enabled bool     `json:"enabled"`
	Source  string   `json:"source"`
	Events  []string `json:"events"`
	// Never says why the rule matches no event by default.
	Never  string        `json:"never,omitempty"`
	Stages []plan.Stages `json:"stages,omitempty"`
	// Opens are what the paths of opens must meet, one of them.
	Opens []plan.OpenNeed `json:"opens,omitempty"`
	// Condition has lists and macros expanded.
	Condition string `json:"condition"`
}

// WriteRuleJSON explains a rule as JSON.
func WriteRuleJSON(w io.Writer, r *rules.Rule) error {
	e := explained{Rule: r.Name, File: r.File, Line: r.Line, Enabled: r.Enabled, Source: r.Source, Condition: r.Condition}
	if r.Node != nil {
		e.Condition = r.Node.String()
	}
	if r.Node != nil && r.Source == field.SyscallSource {
		alone, err := plan.NewAlone(r)
		if err != nil {
			return err
		}
		e.Events, e.Never = filter.Names(r.Node), plan.Never(r, plan.Options{})
		e.Stages, e.Opens = alone.Stages, plan.OpenNeeds(filter.Unshare(r.Node))
	}
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	return out.Encode(e)
}
