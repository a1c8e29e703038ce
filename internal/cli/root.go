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
		Long: `Peregrine measures how many syscalls per second a runtime-security sensor can
handle, on a given amount of CPU and memory, before it starts to lose events.

The binary includes everything needed for the answer: a sensor (eBPF, Falco's
rule language), a load generator, a bench, and the capacity test.`,
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
	for _, command := range commandsFor(env.Args) {
		root.AddCommand(command(env))
	}
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	refuseUnknown(root)
	refuseNegative(root)
	return root
}

// refuseUnknown makes commands that only group others reject unknown
// subcommands. Without a subcommand, they show their help.
func refuseUnknown(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		refuseUnknown(sub)
	}
	if cmd.Name() == "help" {
		cmd.Args = helpTopic
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

// helpTopic rejects words that name no command.
func helpTopic(cmd *cobra.Command, args []string) error {
	if of, rest, _ := cmd.Root().Find(args); len(rest) > 0 {
		return unknownCommand(of, rest[0])
	}
	return nil
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

// commandsFor are those that a command line needs. A sensor runs for months, and
// would keep the flags of all others as long.
func commandsFor(args []string) []func(Env) *cobra.Command {
	if len(args) > 0 && args[0] == "sensor" {
		return []func(Env) *cobra.Command{newSensor}
	}
	return commands
}

func newVersion(env Env) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  exactArgs(0),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(env.Stdout, "Peregrine %s\n", version.Version())
			return err
		},
	}
}

// colors says whether people want colours on their terminal (no-color.org).
func (env Env) colors() bool { return env.Getenv("NO_COLOR") == "" && env.Getenv("TERM") != "dumb" }

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
