package cli

import (
	"github.com/spf13/cobra"

	"github.com/peregrine-sec/peregrine/internal/generator"
)

func newGeneratePlan(env Env, f *generateFlags) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "plan [REGEXP]",
		Short: "Show what run would change, without running it",
		Example: `  peregrine generate plan
  peregrine generate plan --all --no-sandbox
  peregrine generate plan WriteBelow --all --format json`,
		Args: generateArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			var o generator.Options
			var err error
			if o.Actions, err = f.choices(args); err != nil {
				return err
			}
			if o.Sandbox, err = f.sandbox(); err != nil {
				return err
			}
			plan, err := generator.NewPlan(o)
			if err != nil {
				return err
			}
			return asUsage(plan.Write(env.Stdout, format))
		},
	}
	flags := cmd.Flags()
	f.selection(flags)
	f.place(flags)
	formatFlag(cmd, &format, "text", "json")
	groupGenerate(flags)
	group(flags, "Output", "format")
	completeGenerate(cmd)
	return cmd
}
