package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
)

func newGenerateList(env Env) *cobra.Command {
	g := &generateFlags{}
	var format string
	var filter action.Filter
	cmd := &cobra.Command{
		Use:   "list [REGEXP]",
		Short: "List the actions, the rules they fire and what they need",
		Example: `  peregrine generate list
  peregrine generate list --bench yes --ruleset stable
  peregrine generate list --all --format markdown
  peregrine generate list --all --format name | wc -l`,
		Args: generateArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			selected, err := action.Select(strings.Join(args, ""), g.all, g.exclude...)
			if err == nil {
				selected, err = filter.Apply(selected)
			}
			if err == nil {
				err = action.WriteList(env.Stdout, selected, format)
			}
			return asUsage(err)
		},
	}
	flags := cmd.Flags()
	g.selection(flags)
	formatFlag(cmd, &format, "table", "json", "markdown", "name")
	flags.StringVar(&filter.Tag, "tag", "", "only actions whose rule has this tag, for example T1555")
	flags.StringVar(&filter.Risk, "risk", "", "only actions with this risk outside the sandbox: none, files or network")
	flags.StringVar(&filter.Bench, "bench", "", "only actions with this suitability for bench: yes, slow or no")
	flags.StringVar(&filter.RuleSet, "ruleset", "", "only actions of this rule file: stable, incubating, sandbox, k8saudit or none")
	groupGenerate(flags)
	group(flags, "Which actions", "tag", "risk", "bench", "ruleset")
	group(flags, "Output", "format")
	completeFlag(cmd, "risk", "none", "files", "network")
	completeFlag(cmd, "bench", "yes", "slow", "no")
	completeFlag(cmd, "ruleset", "stable", "incubating", "sandbox", "k8saudit", "none")
	cmd.ValidArgsFunction = completeActions
	return cmd
}
