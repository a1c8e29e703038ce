package sensor

import (
	"fmt"
	"os"
	"slices"
	"strings"

	embedded "github.com/peregrine-sec/peregrine/rules"

	"github.com/peregrine-sec/peregrine/internal/linux/anyfile"
	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/engine"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

// RuleSources reads the rules files that the configuration names, or those
// inside the binary if it names none.
func RuleSources(cfg *config.Config) (sources []rules.Source, missing []string, err error) {
	paths, missing, err := cfg.ExpandRulesFiles()
	if err != nil {
		return nil, nil, err
	}
	if len(paths) == 0 {
		return EmbeddedRules(), nil, nil
	}
	sources, err = readSources(paths, cfg.ReadRules)
	return sources, missing, err
}

// SourcesOf reads the rules files that the paths stand for (see
// config.RulesFilesOf), to be checked.
func SourcesOf(paths []string) ([]rules.Source, error) {
	files, err := config.RulesFilesOf(paths)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	return readSources(files, func(path string) ([]byte, error) { return anyfile.Read(path, config.MaxRulesFile) })
}

func readSources(paths []string, read func(string) ([]byte, error)) (sources []rules.Source, err error) {
	for _, path := range paths {
		content, err := read(path)
		if err != nil {
			return nil, fmt.Errorf("read rules: %w", err)
		}
		sources = append(sources, rules.Source{Name: path, Content: content})
	}
	return sources, nil
}

// EmbeddedRules are the rules inside the binary.
func EmbeddedRules() []rules.Source {
	var sources []rules.Source
	for _, name := range embedded.Names {
		sources = append(sources, rules.Source{Name: "embedded/" + name, Content: embedded.Read(name)})
	}
	return sources
}

// RuleOptions are the fields and sources that rules are checked against.
func RuleOptions() rules.Options {
	return rules.Options{Lookup: field.Lookup, Sources: []string{field.SyscallSource, field.K8sAuditSource}}
}

// SelectRules loads the configuration's rules, enables those that it and the
// command line select, and returns the enabled ones.
func SelectRules(cfg *config.Config, sel Selection) ([]*rules.Rule, *rules.Set, *rules.Report, error) {
	sources, missing, err := RuleSources(cfg)
	if err != nil {
		return nil, nil, nil, err
	}
	return selectFrom(sources, missing, cfg, sel)
}

func selectFrom(sources []rules.Source, missing []string, cfg *config.Config, sel Selection) ([]*rules.Rule, *rules.Set, *rules.Report, error) {
	set, report := rules.Load(sources, RuleOptions())
	for _, path := range missing {
		report.Results = append(report.Results, rules.FileError(path, os.ErrNotExist))
	}
	if set == nil {
		return nil, nil, report, fmt.Errorf("load rules: %w", report.Err())
	}
	var switches []rules.Switch
	for _, s := range cfg.Rules {
		if s.Enable != nil {
			switches = append(switches, rules.Switch{Enable: true, Name: s.Enable.Rule, Tag: s.Enable.Tag})
		}
		if s.Disable != nil {
			switches = append(switches, rules.Switch{Name: s.Disable.Rule, Tag: s.Disable.Tag})
		}
	}
	set.Select(switches)
	set.Select(rules.OldFlags(sel.DisableRules, sel.DisableTags, sel.OnlyTags))
	min, ok := rules.ParsePriority(cfg.Priority)
	if !ok {
		return nil, nil, nil, fmt.Errorf("unknown priority %q", cfg.Priority)
	}
	return set.Enabled(min), set, report, nil
}

// buildRuleset compiles the rules and their outputs.
func buildRuleset(list []*rules.Rule, cfg *config.Config, alerts alert.Options, opts plan.Options) (*engine.Ruleset, error) {
	opts.Lookup = field.Lookup
	p, err := plan.New(list, opts)
	if err != nil {
		return nil, fmt.Errorf("compile rules: %w", err)
	}
	if alerts.Scratch == nil {
		alerts.Scratch = new(alert.Scratch)
	}
	formatters := make([]engine.Formatter, len(p.Rules))
	for i, r := range p.Rules {
		if formatters[i], err = newFormatter(r, alerts); err != nil {
			return nil, fmt.Errorf("rule %q: output: %w", r.Name, err)
		}
		if slices.ContainsFunc(field.OfOpenFDs, formatters[i].(*alert.Formatter).Shows) {
			p.LookAtOpenFDs(r)
		}
		if slices.ContainsFunc(field.OfGroupLeaders, formatters[i].(*alert.Formatter).Shows) {
			p.Execs = nil
		}
	}
	return engine.NewRuleset(p, formatters, cfg.RuleMatch == "all"), nil
}

func newFormatter(r *rules.Rule, alerts alert.Options) (engine.Formatter, error) {
	return alert.New(alert.Rule{Name: r.Name, Priority: r.Priority, Source: r.Source, Tags: r.Tags}, r.Output, alerts)
}

// AlertOptions are the configured options of alerts.
func AlertOptions(cfg *config.Config, hostname, print string) alert.Options {
	o := alert.Options{
		JSON: cfg.JSON, JSONOutput: cfg.JSONOutput, JSONMessage: cfg.JSONMessage, JSONFields: cfg.JSONFields,
		JSONTags: cfg.JSONTags, ISO8601: cfg.TimeISO8601, Hostname: hostname,
		LineOnly: !cfg.GRPCOutput.Enabled,
	}
	for _, a := range cfg.AppendOutput {
		add := alert.Append{
			Source: a.Match.Source, Rule: a.Match.Rule, Tags: a.Match.Tags, Output: a.ExtraOutput, Suggested: a.SuggestedOutput,
		}
		for _, x := range a.ExtraFields {
			add.Fields = append(add.Fields, alert.ExtraField{Name: x.Name, Format: x.Format})
		}
		o.Append = append(o.Append, add)
	}
	switch print {
	case "", "c", "container", "k", "kubernetes", "m", "mesos": // these are part of the suggested output today
	default:
		o.Append = append(o.Append, alert.Append{Output: print})
	}
	return o
}

// PlanOptions say which events rules may look at, by the configuration.
func PlanOptions(cfg *config.Config) plan.Options {
	return plan.Options{All: cfg.BaseSyscalls.All || cfg.Engine.Kind == "replay", Custom: cfg.BaseSyscalls.CustomSet}
}

// warnOfRules logs silent defects: rules that can match nothing here, unknown
// names, and a filter that could not be made.
func (s *sensor) warnOfRules(list []*rules.Rule, p *plan.Plan, opts plan.Options) {
	added, removed := plan.UnknownSyscalls(opts.Custom)
	if len(added) > 0 { // Falco's wording
		s.log.Warn("Invalid (positive) syscall names: warning (base_syscalls override): " + strings.Join(added, ", "))
	}
	if len(removed) > 0 {
		s.log.Warn("Invalid (negative) syscall names: warning (base_syscalls override): " + strings.Join(removed, ", "))
	}
	for _, r := range list {
		if why := plan.Never(r, opts); why != "" {
			s.log.Warn("rules: a rule can never match here", "rule", r.Name, "why", why)
		}
	}
	if p.AddressesError != nil {
		s.log.Warn("rules: the kernel does not look at addresses, and sends more calls on sockets", "why", p.AddressesError)
	}
	if p.OpensError != nil {
		s.log.Warn("rules: the kernel sends every open, which costs more", "why", p.OpensError)
	}
}

// loadRules makes the settings of a configuration with its rule sets: that of
// syscalls, and that of audit events if there are any.
func (s *sensor) loadRules(cfg *config.Config) (*settings, error) {
	sources, missing, err := RuleSources(cfg)
	if err != nil {
		return nil, err
	}
	list, _, report, err := selectFrom(sources, missing, cfg, s.opt.Selection)
	if err != nil {
		return nil, err
	}
	for _, r := range report.Results {
		for _, w := range r.Warnings {
			s.log.Debug("rules: " + w.Text())
		}
	}
	alerts := AlertOptions(cfg, s.hostname, s.opt.Print)
	opts := PlanOptions(cfg)
	set, err := buildRuleset(list, cfg, alerts, opts)
	if err != nil {
		return nil, err
	}
	s.warnOfRules(list, set.Plan, opts)
	s.log.Info("rules loaded", "enabled", len(set.Plan.Rules), "programs", set.Plan.Programs(), "syscalls", len(set.Plan.Interest))
	auditSet, err := s.auditRules(cfg, list, alerts)
	if err != nil {
		return nil, err
	}
	return &settings{config: cfg, sums: newFileSums(cfg, sources), rules: set, audit: auditSet, recordings: newRecordings(cfg, set.Plan.Rules)}, nil
}
