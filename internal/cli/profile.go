package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/peregrine-sec/peregrine/internal/profile"
	"github.com/peregrine-sec/peregrine/internal/profile/show"
)

func newProfile(env Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "profile",
		Short: "Record the workload of a node; show, compare and merge such profiles",
		Long: `A profile is a file of some ten kilobytes that describes the workload of a
node: its syscalls, their rates and bursts, and how many processes and
connections come and go. It contains no names of files, programs or hosts
(unless recorded with --with-paths), so it can be shared.

To replay a profile as load, use "generate run --profile", "bench run --load" or
"capacity run --load".`,
		Example: `  sudo peregrine profile record --for 10m --out node.json
  peregrine profile show node.json
  peregrine profile diff monday.json tuesday.json
  peregrine profile merge node1.json node2.json --out fleet.json`,
	}
	cmd.AddCommand(newProfileRecord(env), newProfileFrom(env), newProfileShow(env), newProfileDiff(env), newProfileMerge(env), newProfileSchema(env))
	return cmd
}

// readProfile reads a file, "-" for standard input.
func readProfile(env Env, path string) (*profile.Profile, error) {
	if path != "-" {
		return profile.ReadFile(path)
	}
	p, err := profile.Read(env.Stdin)
	if err != nil {
		return nil, fmt.Errorf("profile on standard input: %w", err)
	}
	return p, nil
}

func readProfiles(env Env, paths []string) (all []*profile.Profile, err error) {
	for _, path := range paths {
		p, err := readProfile(env, path)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// writeProfile writes to a file, or to standard output for "" and "-".
func writeProfile(env Env, p *profile.Profile, path string) error {
	if path == "" || path == "-" {
		return p.Write(env.Stdout)
	}
	return p.WriteFile(path)
}

func newProfileShow(env Env) *cobra.Command {
	var o show.Options
	cmd := &cobra.Command{
		Use:   "show FILE",
		Short: "Show a profile as tables and a chart over time",
		Example: `  peregrine profile show node.json
  peregrine profile show node.json --rows 0 | less`,
		Args: exactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := readProfile(env, args[0])
			if err != nil {
				return err
			}
			return show.Text(env.Stdout, p, o)
		},
	}
	cmd.Flags().IntVar(&o.Rows, "rows", 20, "syscalls to show, 0 for all")
	return cmd
}

func newProfileDiff(env Env) *cobra.Command {
	var o show.Options
	var format string
	cmd := &cobra.Command{
		Use:   "diff A B",
		Short: "Show the differences between two profiles",
		Example: `  peregrine profile diff before.json after.json
  peregrine profile diff original.json replay.json --format json`,
		Args: exactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			sides, err := readProfiles(env, args)
			if err != nil {
				return err
			}
			d := profile.Compare(sides[0], sides[1])
			if format == "json" {
				return json.NewEncoder(env.Stdout).Encode(d)
			}
			return show.Diff(env.Stdout, d, o)
		},
	}
	cmd.Flags().IntVar(&o.Rows, "rows", 20, "syscalls to show, 0 for all")
	choiceFlag(cmd, cmd.Flags(), &format, "format", "output format", "text", "json")
	return cmd
}

func newProfileMerge(env Env) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "merge FILE...",
		Short: "Merge several profiles into the profile of an average node",
		Long: `Merge combines several profiles into that of an average node. Rates are means,
weighted by recorded time. The 99th percentile and the maximum of bursts are
those of the busiest profile, since a single node must handle them.`,
		Example: `  peregrine profile merge node1.json node2.json node3.json --out fleet.json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("expected at least one profile: %s", cmd.UseLine())
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			profiles, err := readProfiles(env, args)
			if err != nil {
				return err
			}
			merged, err := profile.Merge(profiles)
			if err != nil {
				return err
			}
			return writeProfile(env, merged, out)
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "file to write (default standard output)")
	return cmd
}

func newProfileSchema(env Env) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON schema of profiles",
		Args:  exactArgs(0),
		RunE: func(*cobra.Command, []string) error {
			_, err := env.Stdout.Write(profile.JSONSchema)
			return err
		},
	}
}
