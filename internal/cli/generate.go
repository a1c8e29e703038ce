package cli

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/generator/cluster"
	"github.com/peregrine-sec/peregrine/internal/generator/engine"
	"github.com/peregrine-sec/peregrine/internal/generator/eventlog"
	"github.com/peregrine-sec/peregrine/internal/kubeapi"
	"github.com/peregrine-sec/peregrine/internal/sensor/document"
)

func newGenerate(env Env) *cobra.Command {
	g := &generateFlags{}
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "Perform actions that rules detect, at an exact rate and without harm to the host",
		Long: `Generate performs actions that the rules of a runtime-security sensor detect,
one by one or at an exact rate, and background noise that no rule detects.

Actions run in a sandbox: a mount namespace with overlays on the directories
that they write to, and a network namespace with loopback only. The sensor sees
/etc and /bin, but the host's files do not change. Names, flags and log lines
are those of Falco's event-generator.`,
		Example: `  peregrine generate list
  peregrine generate run ReadSensitiveFileUntrusted --rate 5000 --for 10s
  peregrine generate test --alerts /var/log/falco.json`,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return g.resolve(env, cmd) },
	}
	flags := cmd.PersistentFlags()
	flags.StringVarP(&g.config, "config", "c", "", "configuration file in YAML: flags by name (default $HOME/.falco-event-generator.yaml if it exists)")
	flags.StringVarP(&g.level, "loglevel", "l", "info", "log level: debug, info, warning or error")
	choiceFlag(cmd, flags, &g.format, "logformat", "log format", "text", "json")
	completeFlag(cmd, "loglevel", "debug", "info", "warning", "error")
	cmd.AddCommand(newGenerateList(env), newGenerateRun(env, g), newGeneratePlan(env, g), newGenerateTest(env, g), newGenerateCleanup(env, g))
	return cmd
}

// generateFlags are shared by the sub-commands.
type generateFlags struct {
	config, level, format string
	log                   *eventlog.Logger

	all         bool
	exclude     []string
	noSandbox   bool
	allowEgress bool
	container   string
	privileged  bool
	image       string
	engine      string
	stateDir    string
	cluster     kubeapi.Flags
}

// selection adds the flags that pick actions.
func (g *generateFlags) selection(flags *pflag.FlagSet) {
	flags.BoolVar(&g.all, "all", false, "include actions that are disabled by default")
	flags.StringSliceVar(&g.exclude, "exclude", nil, "leave out actions that match `REGEXP` (repeatable)")
}

// place adds the flags about where actions run.
func (g *generateFlags) place(flags *pflag.FlagSet) {
	flags.BoolVar(&g.noSandbox, "no-sandbox", false, "change the host's own files, recorded in an undo journal")
	flags.BoolVar(&g.allowEgress, "allow-egress", false, "use the host's network: actions may reach addresses outside this host")
	flags.StringVar(&g.container, "container", "auto", "where sensors see this process: auto, host or container")
	flags.BoolVar(&g.privileged, "privileged", false, "the sensor sees this container as privileged")
	flags.StringVar(&g.image, "in-container", "", "run all actions in real containers of `IMAGE`; helper stands for an image with only this program, made for the run")
	flags.StringVar(&g.engine, "container-engine", "", "docker, podman or containerd (default: the first that responds)")
	g.state(flags)
	g.clusterFlags(flags)
}

// clusterFlags adds kubectl's flags, as far as event-generator has them.
func (g *generateFlags) clusterFlags(flags *pflag.FlagSet) {
	g.cluster.Register(flags)
	for _, name := range []string{"cache-dir", "match-server-version"} { // of no meaning here
		flags.String(name, "", "accepted for event-generator's sake, without effect")
		flags.Lookup(name).Hidden = true
	}
	flags.Lookup("match-server-version").NoOptDefVal = "true"
}

// connect finds the cluster that the flags select; it makes no request.
func (g *generateFlags) connect() (*cluster.Cluster, error) {
	client, err := g.cluster.Connect("peregrine-generator")
	if err != nil {
		return nil, err
	}
	return cluster.New(client), nil
}

func (g *generateFlags) state(flags *pflag.FlagSet) {
	flags.StringVar(&g.stateDir, "state-dir", "", "directory of the undo journals (default /var/lib/peregrine for root)")
}

// choices are the selected actions as options.
func (g *generateFlags) choices(args []string) ([]generator.Choice, error) {
	selected, err := g.selected(strings.Join(args, ""))
	return generator.Choices(selected), err
}

// selected are the actions that match. It names those that match and are
// disabled.
func (g *generateFlags) selected(expression string) ([]*action.Action, error) {
	selected, err := action.Select(expression, g.all, g.exclude...)
	if err != nil {
		return nil, asUsage(err)
	}
	if left := action.LeftOut(expression, g.exclude...); len(left) > 0 && !g.all {
		g.log.Log(eventlog.Warn, "actions that match are disabled and left out, add --all", eventlog.Fields{"actions": strings.Join(left, " ")})
	}
	return selected, nil
}

func (g *generateFlags) sandbox() (generator.SandboxOptions, error) {
	o := generator.SandboxOptions{Off: g.noSandbox, Egress: g.allowEgress, StateDir: g.stateDir, Privileged: g.privileged, Image: g.image}
	switch {
	case g.image == "" && g.engine != "":
		return o, usagef("--container-engine needs --in-container")
	case g.image != "" && (g.noSandbox || g.container != "auto"):
		return o, usagef("--in-container, --container and --no-sandbox are mutually exclusive")
	}
	switch g.container {
	case "auto":
	case "host", "container":
		o.Container = generator.Containment(g.container)
	default:
		return o, usagef("--container %q: expected auto, host or container", g.container)
	}
	return o, nil
}

// contain finds the container engine that --in-container needs, and has it load
// the helper image, which leave removes.
func (g *generateFlags) contain(ctx context.Context, o *generator.SandboxOptions) (leave func() error, err error) {
	leave = func() error { return nil }
	if o.Image == "" {
		return leave, nil
	}
	if o.Engine, err = engine.Find(ctx, g.engine); err != nil {
		return leave, &ExitError{Code: ExitPreflight, Err: err}
	}
	if g.image != "helper" {
		return leave, nil
	}
	o.Image, leave, err = generator.LoadHelper(ctx, o.Engine, g.stateDir)
	if err != nil {
		return leave, &ExitError{Code: ExitPreflight, Err: err}
	}
	return leave, nil
}

// resolve fills flags that were not given from the environment
// (FALCO_EVENT_GENERATOR_SLEEP for --sleep) and then from the configuration
// file, as event-generator does, and makes the logger.
func (g *generateFlags) resolve(env Env, cmd *cobra.Command) error {
	values, err := g.readConfig(env)
	if err != nil {
		return asUsage(err)
	}
	var failed error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		value := cmp.Or(env.Getenv("FALCO_EVENT_GENERATOR_"+strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))), values[f.Name])
		if f.Changed || value == "" || failed != nil {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			failed = usagef("environment or configuration: %w", flagError(cmd, err))
		}
	})
	if failed != nil {
		return failed
	}
	level, err := eventlog.ParseLevel(g.level)
	if err != nil {
		return asUsage(err)
	}
	color := env.Terminal && env.colors()
	g.log = &eventlog.Logger{Out: env.Stderr, Level: level, JSON: g.format == "json", Color: color}
	return nil
}

func (g *generateFlags) readConfig(env Env) (map[string]string, error) {
	name := g.config
	if name == "" {
		home := env.Getenv("HOME")
		if home == "" {
			return nil, nil
		}
		name = filepath.Join(home, ".falco-event-generator.yaml")
		if _, err := os.Stat(name); err != nil {
			return nil, nil
		}
	}
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	documents, err := document.Read(content)
	if err != nil {
		return nil, fmt.Errorf("configuration %s:%w", name, err)
	}
	values := map[string]string{}
	for _, root := range documents {
		if root.Kind != yaml.MappingNode {
			return nil, fmt.Errorf("configuration %s:%d:%d: expected flags by name, such as sleep: 1s", name, root.Line, root.Column)
		}
		for i := 0; i+1 < len(root.Content); i += 2 {
			key, value := root.Content[i], root.Content[i+1]
			if value.Kind != yaml.ScalarNode {
				return nil, fmt.Errorf("configuration %s:%d:%d: %s: expected a single value", name, value.Line, value.Column, key.Value)
			}
			values[key.Value] = value.Value
		}
	}
	return values, nil
}

// kubernetes is where the cluster's actions among the selected ones work; nil if
// none is wanted, or no cluster is configured: they are skipped then.
func (g *generateFlags) kubernetes(flags *pflag.FlagSet, wanted bool) (action.APIServer, error) {
	if !wanted {
		return nil, nil
	}
	c, err := g.connect()
	if err != nil {
		if kubeapi.Given(flags) {
			return nil, &ExitError{Code: ExitPreflight, Err: err}
		}
		g.log.Log(eventlog.Debug, "no Kubernetes cluster", eventlog.Fields{"reason": err})
		return nil, nil
	}
	c.Failed = func(err error) { g.log.Log(eventlog.Error, "Kubernetes", eventlog.Fields{"error": err}) }
	return c, nil
}

func usagef(format string, args ...any) error { return asUsage(fmt.Errorf(format, args...)) }

// asUsage is an error of the command line; nil for none.
func asUsage(err error) error {
	if err == nil {
		return nil
	}
	return &ExitError{Code: ExitUsage, Err: err}
}

// generateArgs allows at most one regular expression.
func generateArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usagef("arguments: expected one regular expression, got %d; join alternatives with |", len(args))
	}
	return nil
}

// defaultSleep is event-generator's.
const defaultSleep = 100 * time.Millisecond
