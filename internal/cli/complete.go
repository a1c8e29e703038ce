package cli

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/sensor"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

// completeKeys has the shell offer the keys of the configuration after -o.
func completeKeys(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var keys []cobra.Completion
	for _, k := range config.Keys() {
		if k.Default != "" && !strings.Contains(k.Path, "[]") {
			keys = append(keys, k.Path+"=")
		}
	}
	return keys, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// completeRules offers the names of the rules inside the binary.
func completeRules(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	set, _ := rules.Load(sensor.EmbeddedRules(), sensor.RuleOptions())
	if set == nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, r := range set.Rules {
		names = append(names, r.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeActions offers the names of the generator's actions.
func completeActions(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	if len(args) == 0 {
		for _, a := range action.All() {
			names = append(names, a.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeGenerate completes the arguments and flags of commands that perform
// actions.
func completeGenerate(cmd *cobra.Command) {
	cmd.ValidArgsFunction = completeActions
	completeFlag(cmd, "container", "auto", "host", "container")
}

// groupGenerate groups the flags that several commands of the generator have.
func groupGenerate(flags *pflag.FlagSet) {
	group(flags, "Which actions", "all", "exclude")
	group(flags, "Where they run", "no-sandbox", "allow-egress", "container", "privileged", "in-container", "container-engine", "state-dir")
	group(flags, "Cluster, for k8saudit actions", "kubeconfig", "context", "namespace")
}

// groupReceiving groups the flags for the ways in which alerts arrive.
func groupReceiving(flags *pflag.FlagSet) {
	group(flags, "Alerts by gRPC", "grpc-unix-socket", "grpc-hostname", "grpc-port", "grpc-ca", "grpc-cert", "grpc-key", "polling-interval")
	group(flags, "Alerts by HTTP", "http-server-address", "http-server-security-mode", "http-server-cert", "http-server-key", "http-client-ca")
}
