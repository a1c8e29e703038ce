package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// groupKey is the annotation of a flag with the title of its group in --help,
// and its place among the flags that have one.
const groupKey = "peregrine_group"

// group puts flags into a group of --help. Groups come in the order in which
// they are made, flags in that of names. A flag stays in its first group; names
// that are no flags are left out, so that commands can share groups.
func group(fs *pflag.FlagSet, title string, names ...string) {
	place := 0
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Annotations[groupKey] != nil {
			place++
		}
	})
	for _, name := range names {
		if f := fs.Lookup(name); f != nil && f.Annotations[groupKey] == nil {
			_ = fs.SetAnnotation(name, groupKey, []string{title, fmt.Sprintf("%03d", place)}) // fails for unknown flags only
			place++
		}
	}
}

// placeOf sorts flags by their place; those without a group come last, and of
// these --help.
func placeOf(f *pflag.Flag) string {
	switch a := f.Annotations[groupKey]; {
	case a != nil:
		return a[1]
	case f.Name == "help":
		return "z"
	}
	return "y"
}

// flagGroup is a part of the flags in --help.
type flagGroup struct{ Title, Usages string }

// flagGroups are the flags of a command in groups: last those without one.
func flagGroups(cmd *cobra.Command) []flagGroup {
	var flags []*pflag.Flag
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			flags = append(flags, f)
		}
	})
	slices.SortStableFunc(flags, func(a, b *pflag.Flag) int { return strings.Compare(placeOf(a), placeOf(b)) })
	var titles []string
	sets := map[string]*pflag.FlagSet{}
	for _, f := range flags {
		title := "Flags"
		if a := f.Annotations[groupKey]; len(a) > 0 {
			title = a[0]
		}
		if sets[title] == nil {
			sets[title] = pflag.NewFlagSet(title, pflag.ContinueOnError)
			sets[title].SortFlags = false
			titles = append(titles, title)
		}
		sets[title].AddFlag(shown(f))
	}
	var groups []flagGroup
	for _, title := range titles {
		groups = append(groups, flagGroup{title, usages(sets[title])})
	}
	return groups
}

// shown is a flag as --help has it: with a type that is not Go's, and no default
// of no time.
func shown(f *pflag.Flag) *pflag.Flag {
	c := *f
	switch c.Value.Type() {
	case "int", "uint16", "uint64", "float64":
		c.Value = number{c.Value}
	}
	if c.DefValue == "0s" {
		c.DefValue = ""
	}
	return &c
}

// number is the value of a flag that takes any kind of number.
type number struct{ pflag.Value }

func (number) Type() string { return "number" }

// usages describes flags in lines of at most helpWidth.
func usages(flags *pflag.FlagSet) string {
	return strings.TrimRight(flags.FlagUsagesWrapped(helpWidth), " \n")
}

// helpWidth is the width of a terminal.
const helpWidth = 100

// usageTemplate is cobra's, with flags in groups.
const usageTemplate = `Usage:{{if .Runnable}}
  {{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}
  {{.CommandPath}} [command]{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}

Commands:{{range .Commands}}{{if (or .IsAvailableCommand (eq .Name "help"))}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{range flagGroups .}}

{{.Title}}:
{{.Usages}}{{end}}{{if .HasAvailableInheritedFlags}}

Flags of all {{.Parent.Name}} commands:
{{usages .InheritedFlags}}{{end}}{{if .HasAvailableSubCommands}}

Use "{{.CommandPath}} [command] --help" for more about a command.{{end}}
`

// useHelp gives a command and those below it this help.
func useHelp(root *cobra.Command) {
	cobra.AddTemplateFunc("flagGroups", flagGroups)
	cobra.AddTemplateFunc("usages", usages)
	root.SetUsageTemplate(usageTemplate)
}
