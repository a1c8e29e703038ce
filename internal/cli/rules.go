package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/peregrine-sec/peregrine/internal/sensor"
	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/capture"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/explain"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

// newRules has the commands about rules files.
func newRules(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "Check, list, explain and try rules",
		Long: `These commands work on rules files and need no running sensor. Without -r or a
file argument, they use the rules inside the binary.`,
	}
	cmd.AddCommand(newRulesCheck(env), newRulesList(env), newRulesExplain(env), newRulesTest(env), newRulesCost(env))
	return cmd
}

// rulesFlags are shared by the commands that need sound rules.
type rulesFlags struct{ files []string }

func (f *rulesFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringArrayVarP(&f.files, "rules", "r", nil, "rules `FILE` or directory (repeatable; loaded in order)")
}

// sources reads the files, or those inside the binary, and returns those that
// do not exist apart.
func (f *rulesFlags) sources() (sources []rules.Source, missing []string, err error) {
	cfg := config.Default()
	for _, file := range f.files {
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, file)
		} else {
			cfg.RulesFiles = append(cfg.RulesFiles, file)
		}
	}
	if len(f.files) > 0 && len(cfg.RulesFiles) == 0 {
		return nil, missing, nil
	}
	sources, _, err = sensor.RuleSources(cfg)
	return sources, missing, err
}

// load loads the files and prints their errors to standard error.
func (f *rulesFlags) load(env Env) (*rules.Set, error) {
	sources, missing, err := f.sources()
	if err != nil {
		return nil, err
	}
	if err := noFile(missing); err != nil {
		return nil, err
	}
	set, report := rules.Load(sources, sensor.RuleOptions())
	if set == nil {
		if err := report.WriteText(env.Stderr, false); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("the rules are invalid")
	}
	return set, nil
}

// noFile is an error if rules files are missing.
func noFile(missing []string) error {
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("no such rules file: %s; correct the path", strings.Join(missing, ", "))
}

func (f *rulesFlags) rule(env Env, name string) (*rules.Rule, *rules.Set, error) {
	set, err := f.load(env)
	if err != nil {
		return nil, nil, err
	}
	if r := set.Rule(name); r != nil {
		return r, set, nil
	}
	var similar []string
	for _, r := range set.Rules {
		if strings.Contains(strings.ToLower(r.Name), strings.ToLower(name)) {
			similar = append(similar, fmt.Sprintf("%q", r.Name))
		}
	}
	if len(similar) > 0 {
		return nil, nil, fmt.Errorf("no rule has the name %q; did you mean %s?", name, strings.Join(similar, ", "))
	}
	return nil, nil, fmt.Errorf("no rule has the name %q; see 'peregrine rules list'", name)
}

func newRulesCheck(env Env) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "check [FILE|DIRECTORY]...",
		Short: "Check rules files and show the location of each mistake",
		Long: `Check loads the files in order, like the sensor, and prints every error and
warning with its location and source line.

Exit codes: 0 all files are valid, 1 some are not, 2 invalid command line.`,
		Example: `  peregrine rules check /etc/falco/falco_rules.yaml my_rules.yaml
  peregrine rules check --format json rules.d | jq '.falco_load_results[].errors'`,
		RunE: func(_ *cobra.Command, args []string) error {
			f := rulesFlags{files: args}
			sources, missing, err := f.sources()
			if err == nil && format == "text" {
				err = noFile(missing)
			}
			if err != nil {
				return err
			}
			_, report := rules.Load(sources, sensor.RuleOptions())
			for _, path := range missing {
				report.Results = append(report.Results, rules.FileError(path, fmt.Errorf("no such file or directory")))
			}
			if format == "json" {
				err = report.WriteJSON(env.Stdout, nil)
			} else {
				err = report.WriteText(env.Stdout, true)
			}
			if err == nil && !report.OK() {
				err = &ExitError{Code: ExitFailure}
			}
			return err
		},
	}
	jsonFlag(cmd, &format)
	return cmd
}

func newRulesList(env Env) *cobra.Command {
	var f rulesFlags
	var tag, format string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the rules",
		Example: `  peregrine rules list
  peregrine rules list --tag mitre_credential_access
  peregrine rules list --format json -r my_rules.yaml | jq '.rules[].info.name'`,
		Args: exactArgs(0),
		RunE: func(*cobra.Command, []string) error {
			set, err := f.load(env)
			if err != nil {
				return err
			}
			if tag != "" {
				set = set.Tagged(tag)
			}
			if format == "json" {
				d, err := set.Describe("", alert.Options{})
				if err != nil {
					return err
				}
				return d.WriteJSON(env.Stdout)
			}
			w := tabwriter.NewWriter(env.Stdout, 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "RULE\tPRIORITY\tENABLED\tTAGS")
			for _, r := range set.Rules {
				fmt.Fprintf(w, "%s\t%s\t%v\t%s\n", r.Name, r.Priority, r.Enabled, strings.Join(r.Tags, ","))
			}
			return w.Flush()
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&tag, "tag", "", "only rules with this tag")
	jsonFlag(cmd, &format)
	return cmd
}

func newRulesExplain(env Env) *cobra.Command {
	var f rulesFlags
	var format string
	cmd := &cobra.Command{
		Use:   "explain RULE",
		Short: "Show a rule with its macros expanded and the stage that decides each part",
		Long: `Explain shows a rule with its lists and macros expanded, and when each part of
the condition is decided. For each kind of event, it shows what the kernel
checks before it sends an event for this rule: the result, whether the process
is in a container, an argument, the name of the program, facts about the socket,
and the paths.`,
		Example: `  peregrine rules explain 'Read sensitive file untrusted'
  peregrine rules explain 'My rule' -r my_rules.yaml
  peregrine rules explain 'My rule' -r my_rules.yaml --format json | jq .stages`,
		Args: exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			r, set, err := f.rule(env, args[0])
			if err != nil {
				return err
			}
			if format == "json" {
				return explain.WriteRuleJSON(env.Stdout, r)
			}
			return explain.WriteRule(env.Stdout, r, set)
		},
	}
	f.register(cmd)
	jsonFlag(cmd, &format)
	cmd.ValidArgsFunction = completeRules
	return cmd
}

func newRulesTest(env Env) *cobra.Command {
	var f rulesFlags
	var file string
	cmd := &cobra.Command{
		Use:   "test RULE --capture FILE",
		Short: "Try a rule on a capture and show which parts were false",
		Long: `Test evaluates a rule, enabled or not, for every event of a capture. It shows:

  - the first matches
  - for each part of the condition, how many events it excluded, and how many of
    them no other part excluded
  - if nothing matched, the event that came closest, the parts that were false
    for it, and the values found instead

Exit codes: 0 the rule matched, 1 it did not match or could not be tried,
2 invalid command line.`,
		Example: `  peregrine rules test 'Read sensitive file untrusted' --capture incident.scap
  peregrine rules test 'My rule' -r my_rules.yaml --capture incident.scap.gz`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if file == "" {
				return usagef("expected --capture FILE: the capture on which to try the rule")
			}
			r, _, err := f.rule(env, args[0])
			if err != nil {
				return err
			}
			src, err := capture.Open(file)
			if err != nil {
				return err
			}
			defer src.Close()
			v, err := explain.Test(cmd.Context(), src, r)
			if v == nil {
				return err
			}
			if err := errors.Join(v.Write(env.Stdout), err); err != nil {
				return err
			}
			if v.Matches == 0 {
				return &ExitError{Code: ExitFailure}
			}
			return nil
		},
	}
	f.register(cmd)
	cmd.ValidArgsFunction = completeRules
	captureFlag(cmd, &file)
	return cmd
}

func newRulesCost(env Env) *cobra.Command {
	var f rulesFlags
	var file, format string
	var live time.Duration
	var all bool
	cmd := &cobra.Command{
		Use:   "cost {--capture FILE | --live DURATION}",
		Short: "Measure what each rule costs, over a capture or on this host",
		Long: `Cost evaluates the rules for every event of a capture, or of this host for the
time given by --live. For each rule it shows the number of evaluations, the time
they took and the number of matches, the most expensive rule first. It skips
events that a rule cannot match because of their kind or process.

A second table shows which rules make the kernel send events, and how many it
sends for one rule alone. To reduce the load, start with the rule at the top:
give its condition a part that the kernel can check ('rules explain' shows
which parts it can).

--live needs root. A sensor may run at the same time.`,
		Example: `  peregrine rules cost --live 1m
  peregrine rules cost --capture typical.scap
  peregrine rules cost -r my_rules.yaml --capture typical.scap --format json`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			set, err := f.load(env)
			if err != nil {
				return err
			}
			list := set.Rules
			if !all {
				list = set.Enabled(alert.Debug)
			}
			costs, err := f.cost(cmd.Context(), file, live, list)
			if costs == nil {
				return err
			}
			if format == "json" {
				return errors.Join(json.NewEncoder(env.Stdout).Encode(costs), err)
			}
			return errors.Join(costs.Write(env.Stdout), err)
		},
	}
	f.register(cmd)
	captureFlag(cmd, &file)
	cmd.Flags().DurationVar(&live, "live", 0, "observe this host for this long, for example 1m")
	jsonFlag(cmd, &format)
	cmd.Flags().BoolVar(&all, "all", false, "include disabled rules")
	return cmd
}

func (f *rulesFlags) cost(ctx context.Context, file string, live time.Duration, list []*rules.Rule) (*explain.Costs, error) {
	if (file == "") == (live == 0) {
		return nil, usagef("expected either --capture FILE or --live DURATION, such as --live 1m")
	}
	if live > 0 {
		return explain.CostLive(ctx, live, list, slog.New(slog.DiscardHandler))
	}
	src, err := capture.Open(file)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	return explain.Cost(ctx, src, list)
}

func captureFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "capture", "", "capture `FILE` (.scap, may be gzipped)")
}
