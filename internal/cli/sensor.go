package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/peregrine-sec/peregrine/internal/sensor"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// daemonFlags are the flags of "peregrine sensor": Falco's, of today and of
// the versions that the method document and older manifests use.
type daemonFlags struct {
	config     string
	rulesFiles []string
	options    []string
	print      string
	pidFile    string
	duration   int
	all        bool
	unbuffered bool
	dryRun     bool
	verbose    bool

	files *config.Files // that a running sensor watches

	statsFile     string
	statsInterval int

	validate     []string
	listRules    bool
	describe     string
	listFields   bool
	listSource   string
	listEvents   bool
	listSyscalls bool
	listPlugins  bool
	pluginInfo   string
	ruleSchema   bool
	configSchema bool
	format       string
	markdown     bool
	names        bool
	version      bool
	support      bool
	pageSize     bool

	disableRules []string
	disableTags  []string
	onlyTags     []string

	capture        string
	noDriver       bool
	snaplen        int
	base64         bool
	disableSources []string
	enableSources  []string
	criSockets     []string
	apiServer      string
	credentials    string
	node           string
}

func newSensor(env Env) *cobra.Command {
	var f daemonFlags
	cmd := &cobra.Command{
		Use: "sensor [OPTION...]",

		DisableFlagsInUseLine: true,

		Short: "Watch syscalls and alert on what the rules describe",
		Long: `Sensor watches syscalls through eBPF, matches them against rules in Falco's rule
language, and sends alerts. It accepts Falco's flags, configuration keys and
rules files. By default, it uses the rules inside the binary.

Alerts go to standard output, messages to standard error. The exit code is 0, or
1 after an error.`,
		Example: `  # watch this host with the default rules
  sudo peregrine sensor

  # alerts as JSON, rules of your own
  sudo peregrine sensor -o json_output=true -r my_rules.yaml

  # the statistics file of the Falco performance test, a line a second
  sudo peregrine sensor -s /var/log/falco.txt --stats-interval 1000

  # check rules, list fields
  peregrine sensor -V my_rules.yaml
  peregrine sensor --list`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknownCommand(cmd, args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return &ExitError{Code: ExitFailure, Err: err}
			}
			return runSensor(env, &f, accepted(cmd.Flags()))
		},
	}
	f.register(cmd)
	cmd.AddCommand(newSensorStatus(env), newSensorTop(env))
	// Falco exits with 1 for any error, wrong flags included.
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &ExitError{Code: ExitFailure, Err: flagError(cmd, err)}
	})
	completeFlag(cmd, "list", "syscall", "k8s_audit")
	_ = cmd.RegisterFlagCompletionFunc("option", completeKeys)
	_ = cmd.RegisterFlagCompletionFunc("describe-rule", completeRules)
	return cmd
}

func (f *daemonFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVarP(&f.config, "config", "c", "", "configuration `FILE` (default "+config.DefaultPath+" if it exists)")
	fs.StringArrayVarP(&f.rulesFiles, "rules", "r", nil, "rules `FILE` or directory; may be repeated; replaces rules_files of the configuration")
	fs.StringArrayVarP(&f.options, "option", "o", nil, "set a configuration `KEY=VALUE`, as in -o json_output=true; may be repeated")
	fs.StringVarP(&f.print, "print", "p", "", "append `TEXT`, which may contain %fields, to every output (c and k are accepted for older manifests)")
	fs.StringVarP(&f.pidFile, "pidfile", "P", "", "write the process id to `FILE`")
	fs.IntVarP(&f.duration, "max-seconds", "M", 0, "stop after `SEC` seconds")
	fs.BoolVarP(&f.all, "all-events", "A", false, "also observe high-volume I/O syscalls (read, write, send, ...)")
	fs.BoolVarP(&f.unbuffered, "unbuffered", "U", false, "write each alert at once, even to pipes")
	fs.BoolVar(&f.dryRun, "dry-run", false, "check configuration and rules, then exit")
	fs.BoolVarP(&f.verbose, "verbose", "v", false, "log more, and print totals at the end")

	fs.StringVarP(&f.statsFile, "stats-file", "s", "", "append statistics to `FILE`, a line every --stats-interval")
	fs.IntVar(&f.statsInterval, "stats-interval", 5000, "`MSEC` between lines of the statistics file")

	fs.StringArrayVarP(&f.validate, "validate", "V", nil, "check rules `FILE`s or directories, separated by commas, and exit; may be repeated")
	fs.BoolVarP(&f.listRules, "list-rules", "L", false, "list all rules and exit")
	fs.StringVarP(&f.describe, "describe-rule", "l", "", "describe one `RULE` and exit")
	fs.VarPF(&listFlag{f}, "list", "", "list all fields, or those of one `SOURCE` (--list=SOURCE), and exit").NoOptDefVal = "all"
	fs.BoolVar(&f.listEvents, "list-events", false, "list all kinds of events and exit")
	fs.BoolVarP(&f.listSyscalls, "ignored-syscalls", "i", false, "list the syscalls that need -A and exit")
	fs.BoolVar(&f.listPlugins, "list-plugins", false, "list plugins and exit")
	fs.StringVar(&f.pluginInfo, "plugin-info", "", "describe the plugin `NAME` and exit")
	fs.BoolVar(&f.configSchema, "config-schema", false, "print the JSON schema of configuration files and exit")
	fs.BoolVar(&f.ruleSchema, "rule-schema", false, "print the JSON schema of rules files and exit")
	choiceFlag(cmd, fs, &f.format, "format", "`FORMAT` of lists", "text", "markdown", "json")
	fs.BoolVar(&f.markdown, "markdown", false, "the same as --format markdown; alone, list all fields")
	fs.BoolVarP(&f.names, "names", "N", false, "with --list: names only")
	fs.BoolVar(&f.version, "version", false, "print versions and exit")
	fs.BoolVar(&f.support, "support", false, "print information for a bug report and exit")
	fs.BoolVar(&f.pageSize, "page-size", false, "print the page size and exit")

	fs.StringArrayVarP(&f.disableRules, "disable-rule", "D", nil, "disable rules whose name contains `TEXT`")
	fs.StringArrayVarP(&f.disableTags, "disable-tag", "T", nil, "disable rules with `TAG`")
	fs.StringArrayVarP(&f.onlyTags, "only-tag", "t", nil, "enable rules with `TAG` only")

	fs.StringVarP(&f.capture, "events-file", "e", "", "read events from capture `FILE` (.scap) instead of the kernel")
	fs.BoolVar(&f.noDriver, "nodriver", false, "observe no events; for tests of configuration and outputs")
	fs.IntVarP(&f.snaplen, "snaplen", "S", 0, "keep this many `BYTES` of I/O data (default 80)")
	fs.BoolVarP(&f.base64, "print-base64", "b", false, "write data buffers in base64")
	fs.StringArrayVar(&f.disableSources, "disable-source", nil, "disable event `SOURCE`")
	fs.StringArrayVar(&f.enableSources, "enable-source", nil, "enable only event `SOURCE`")
	fs.StringArrayVar(&f.criSockets, "cri", nil, "get container metadata from the CRI socket `PATH` instead of the usual sockets; may be repeated")
	fs.StringVarP(&f.apiServer, "k8s-api", "k", "", "get deployments, services and namespaces from the Kubernetes API server at `URL`")
	fs.StringVarP(&f.credentials, "k8s-api-cert", "K", "", "credentials for the API server: bearer token `FILE`, or CERTIFICATE:KEY[:CA]")
	fs.StringVar(&f.node, "k8s-node", "", "`NAME` of this node in the cluster (default: the host's name)")
	registerAccepted(fs)
	groupSensor(fs)
	fs.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		if now, ok := renamedFlags[name]; ok {
			name = now
		}
		return pflag.NormalizedName(name)
	})
}

// groupSensor orders the flags for --help.
func groupSensor(fs *pflag.FlagSet) {
	group(fs, "Configuration", "config", "rules", "option", "print", "disable-rule", "disable-tag", "only-tag", "disable-source", "enable-source")
	group(fs, "Running", "all-events", "unbuffered", "snaplen", "print-base64", "max-seconds", "pidfile", "verbose")
	group(fs, "Container metadata", "cri", "k8s-api", "k8s-api-cert", "k8s-node")
	group(fs, "Instead of the kernel", "events-file", "nodriver")
	group(fs, "Statistics", "stats-file", "stats-interval")
	group(fs, "Checks; the sensor does not start", "dry-run", "validate")
	group(fs, "Lists; the sensor does not start", "list", "names", "list-events", "ignored-syscalls", "list-rules", "describe-rule",
		"list-plugins", "plugin-info", "rule-schema", "config-schema", "format", "markdown", "version", "support", "page-size")
}

// renamedFlags are Falco's older names of flags, with those of today.
var renamedFlags = map[string]string{"list-syscall-events": "list-events", "list-fields-markdown": "markdown"}

// listFlag is --list with its optional source.
type listFlag struct{ f *daemonFlags }

func (l *listFlag) String() string { return "" }
func (l *listFlag) Type() string   { return "string" }

func (l *listFlag) Set(source string) error {
	l.f.listFields = true
	if source != "all" {
		l.f.listSource = source
	}
	return nil
}

// notMeant lists flags that are accepted for older command lines, and the notes
// about them.
var notMeant = []struct{ name, short, arg, say string }{
	{"disable-cri-async", "", "", "container metadata never holds events up"},
	{"mesos-api", "m", "URL", "Mesos is not supported, as in Falco since 0.35"},
	{"daemon", "d", "", "runs in the foreground; use a service manager"},
	{"modern-bpf", "", "", "this is the only driver"},
	{"userspace", "u", "", "udig is gone, as in Falco since 0.37"},
	{"gvisor-config", "g", "FILE", "gVisor is not supported"},
	{"gvisor-root", "", "DIR", "gVisor is not supported"},
}

func registerAccepted(fs *pflag.FlagSet) {
	for _, a := range notMeant {
		if a.arg == "" {
			fs.BoolP(a.name, a.short, false, "accepted: "+a.say)
		} else {
			fs.StringP(a.name, a.short, "", "accepted: `"+a.arg+"`; "+a.say)
		}
		_ = fs.MarkHidden(a.name) // fails only for a name not defined above
	}
}

// accepted returns a note for every flag that was given and has no meaning.
func accepted(fs *pflag.FlagSet) []string {
	var notes []string
	for _, a := range notMeant {
		if fs.Changed(a.name) {
			notes = append(notes, fmt.Sprintf("--%s has no effect: %s", a.name, a.say))
		}
	}
	return notes
}

// The largest values of the numbers on the command line: a day, a century.
const (
	maxStatsInterval = 24 * 60 * 60 * 1000
	maxDuration      = 100 * 365 * 24 * 60 * 60
)

func (f *daemonFlags) check() error {
	switch {
	case f.statsInterval < 1 || f.statsInterval > maxStatsInterval:
		return fmt.Errorf("--stats-interval %d: expected 1 to %d milliseconds", f.statsInterval, maxStatsInterval)
	case f.duration < 0 || f.duration > maxDuration:
		return fmt.Errorf("-M %d: expected up to %d seconds; 0 is no limit", f.duration, maxDuration)
	case len(f.disableSources) > 0 && len(f.enableSources) > 0:
		return errors.New("--disable-source and --enable-source are mutually exclusive")
	case slices.ContainsFunc(f.enableSources, func(source string) bool { return field.Of(source) == nil }):
		return errors.New("--enable-source: the sources of events are syscall and k8s_audit")
	case len(f.onlyTags) > 0 && len(f.disableRules)+len(f.disableTags) > 0:
		return errors.New("-t cannot be used together with -D or -T")
	}
	return nil
}

// wants says whether the flags leave a source enabled.
func (f *daemonFlags) wants(source string) bool {
	if len(f.enableSources) > 0 {
		return slices.Contains(f.enableSources, source)
	}
	return !slices.Contains(f.disableSources, source)
}

// checkSources makes sure that there are events.
func (f *daemonFlags) checkSources(cfg *config.Config) error {
	audit := f.wants(field.K8sAuditSource) && cfg.K8sAuditOpen() != ""
	switch {
	case slices.Contains(f.enableSources, field.K8sAuditSource) && !audit:
		return errors.New("--enable-source k8s_audit: the source is not configured; set plugins and load_plugins, or peregrine.k8s_audit.open")
	case !f.wants(field.SyscallSource) && !audit:
		return errors.New("--disable-source: no source of events is left")
	}
	return nil
}

// loadConfig reads the configuration with the flags that stand for keys.
func (f *daemonFlags) loadConfig(env Env) (*config.Config, error) {
	overrides := slices.Clone(f.options)
	for _, o := range []struct {
		given bool
		value string
	}{
		{f.capture != "", "engine.kind=replay"},
		{f.capture != "", "engine.replay.capture_file=" + f.capture},
		{f.noDriver || !f.wants(field.SyscallSource), "engine.kind=nodriver"},
		{f.snaplen > 0, fmt.Sprintf("falco_libs.snaplen=%d", f.snaplen)},
		{f.base64, "buffer_format_base64=true"},
		{f.all, "base_syscalls.all=true"},
		{f.unbuffered, "buffered_outputs=false"},
		{f.apiServer != "", "peregrine.kubernetes.api_server=" + f.apiServer},
		{f.credentials != "", "peregrine.kubernetes.credentials=" + f.credentials},
		{f.node != "", "peregrine.kubernetes.node=" + f.node},
	} {
		if o.given {
			overrides = append(overrides, o.value)
		}
	}
	cfg, err := config.Load(config.Options{Path: f.config, Overrides: overrides, RulesFiles: f.rulesFiles, CRISockets: f.criSockets, Files: f.files, Env: env.Getenv})
	if err != nil {
		return nil, err
	}
	return cfg, f.checkSources(cfg)
}

func (f *daemonFlags) sensorOptions(env Env) sensor.Options {
	f.files = config.NewFiles()
	return sensor.Options{
		LoadConfig:    func() (*config.Config, error) { return f.loadConfig(env) },
		Files:         f.files,
		Stdout:        stdoutFile(env),
		Stderr:        env.Stderr,
		Getenv:        env.Getenv,
		StatsFile:     f.statsFile,
		StatsInterval: time.Duration(f.statsInterval) * time.Millisecond,
		MaxDuration:   time.Duration(f.duration) * time.Second,
		Print:         f.print,
		PIDFile:       f.pidFile,
		Verbose:       f.verbose,
		DryRun:        f.dryRun,
		Selection:     f.selection(),
	}
}

// stdoutFile is where alerts go: outputs write to descriptors.
func stdoutFile(env Env) *os.File {
	if f, ok := env.Stdout.(*os.File); ok {
		return f
	}
	return os.Stdout
}
