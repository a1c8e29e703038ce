package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/peregrine-sec/peregrine/internal/version"
)

// newRoot assembles the command tree.
func newRoot(env Env) *cobra.Command {
	root := &cobra.Command{
		Use:   "peregrine",
		Short: "Measure how much load a runtime-security sensor can take",
		Long: `Peregrine answers one question for the people who run a runtime-security
sensor on Linux hosts: how many syscalls per second can it take, on this much
CPU and memory, before it starts to lose events?

It has everything that the answer needs: a sensor (eBPF, Falco's rule language),
a generator of events, a bench and the capacity test.`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &ExitError{Code: ExitUsage, Err: flagError(cmd, err)}
	})
	useHelp(root)
	root.Version = version.Version()
	root.SetVersionTemplate("Peregrine {{.Version}}\n")
	for _, command := range commands {
		root.AddCommand(command(env))
	}
	refuseUnknown(root)
	return root
}

// refuseUnknown lets commands that only hold others refuse words that are none
// of these, and show their help without one.
func refuseUnknown(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		refuseUnknown(sub)
	}
	if cmd.Runnable() || !cmd.HasSubCommands() {
		return
	}
	cmd.DisableFlagsInUseLine = true
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknownCommand(cmd, args[0])
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// commands are the constructors of the sub-commands, in the order of help.
var commands = []func(Env) *cobra.Command{
	newSensor,
	newRules,
	newGenerate,
	newBench,
	newCapacity,
	newOverhead,
	newProfile,
	newVersion,
	newMan,
}

func newVersion(env Env) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(env.Stdout, "Peregrine %s\n", version.Version())
			return err
		},
	}
}

// colors says whether people want colours on their terminal (no-color.org).
func (env Env) colors() bool { return env.Getenv("NO_COLOR") == "" && env.Getenv("TERM") != "dumb" }

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
