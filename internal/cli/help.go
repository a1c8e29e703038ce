package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// groupKey is the annotation of a flag with the title of its group in --help.
const groupKey = "peregrine_group"

// group puts flags into a group of --help; groups come in the order in which
// they are made.
func group(fs *pflag.FlagSet, title string, names ...string) {
	for _, name := range names {
		// The error says that the flag does not exist, which a test would see.
		_ = fs.SetAnnotation(name, groupKey, []string{title})
	}
}

// flagGroup is a part of the flags in --help.
type flagGroup struct{ Title, Usages string }

// flagGroups are the flags of a command in groups: first those without one.
func flagGroups(cmd *cobra.Command) []flagGroup {
	cmd.Flags().SortFlags = false // in the order in which they were defined
	flags := cmd.LocalFlags()
	var titles []string
	sets := map[string]*pflag.FlagSet{}
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		title := "Flags"
		if a := f.Annotations[groupKey]; len(a) > 0 {
			title = a[0]
		}
		if sets[title] == nil {
			sets[title] = pflag.NewFlagSet(title, pflag.ContinueOnError)
			sets[title].SortFlags = false
			titles = append(titles, title)
		}
		sets[title].AddFlag(f)
	})
	var groups []flagGroup
	for _, title := range titles {
		groups = append(groups, flagGroup{title, strings.TrimRight(sets[title].FlagUsagesWrapped(helpWidth), " \n")})
	}
	return groups
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
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableSubCommands}}

Use "{{.CommandPath}} [command] --help" for more about a command.{{end}}
`

// useHelp gives a command and those below it this help.
func useHelp(root *cobra.Command) {
	cobra.AddTemplateFunc("flagGroups", flagGroups)
	root.SetUsageTemplate(usageTemplate)
}
