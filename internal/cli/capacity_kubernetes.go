package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/kubernetes"
	"github.com/peregrine-sec/peregrine/internal/capacity/report"
	"github.com/peregrine-sec/peregrine/internal/capacity/run"
	"github.com/peregrine-sec/peregrine/internal/kubeapi"
)

// capacityNamespace is where the load runs, if no flag says otherwise.
const capacityNamespace = "peregrine-capacity"

// capacityKubernetesFlags are those of capacity kubernetes.
type capacityKubernetesFlags struct {
	capacityRunFlags
	cluster   kubeapi.Flags
	daemonset string
	container string
	nodes     []string
	eachKind  bool
	parallel  int
	image     string
	port      int
	channel   string // of alerts
	ready     time.Duration
	publish   string
	observed  string
}

func newCapacityKubernetes(env Env) *cobra.Command {
	f := &capacityKubernetesFlags{}
	cmd := &cobra.Command{
		Use:   "kubernetes {--node NAME | --each-node-kind} [-- SENSOR FLAGS]",
		Short: "Measure the capacity table of a sensor that a DaemonSet runs",
		Long: `Kubernetes measures an installed sensor (Peregrine or Falco) on a node. For each
limit, it replaces the sensor's pod with a copy that has this limit and sends
its alerts to the test. A Job on the node generates the load, as capacity run
does. At the end, the DaemonSet recreates its own pod. The DaemonSet itself and
the pods on other nodes are not touched.

During the test, the sensor's http_output posts to the Job. The configured
http_output.url receives no alerts from this node. With --alerts socket, the Job
reads a gRPC socket in the sensor's pod instead, and http_output stays as it is.
Other outputs also receive the alerts of the test, as JSON.

The Job's pod is privileged and runs in the node's process namespace. Its own
namespace is created for the run and deleted at the end, unless -n names an
existing one.

The next run, or capacity kubernetes restore, undoes a run that was killed.
Otherwise, a copy ends on its own when the time for all rows is over.

Exit codes: the same as for capacity run.`,
		Example: `  peregrine capacity kubernetes --node worker-1
  peregrine capacity kubernetes --node worker-1 --daemonset falco/falco --image registry.example.com/peregrine:1.0.0
  peregrine capacity kubernetes --node worker-1 --cpu 0.25,0.5,1 --quick --out june
  peregrine capacity kubernetes --each-node-kind --parallel 4`,
		Args: sensorArgs,
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(env, cmd, args) },
	}
	f.add(cmd)
	completeFlag(cmd, "load", "alerts", "noise", "1:50")
	cmd.AddCommand(newCapacityKubernetesRestore(env), newCapacityKubernetesRBAC(env))
	return cmd
}

// which adds the flags that say which cluster, sensor and namespace.
func (f *capacityKubernetesFlags) which(flags *pflag.FlagSet) {
	f.cluster.Register(flags)
	flags.Lookup("namespace").Usage = "namespace of the load (default " + capacityNamespace + ", created for the run)"
	flags.StringVar(&f.daemonset, "daemonset", "", "NAMESPACE/NAME of the sensor's DaemonSet (default: found by label)")
}

func (f *capacityKubernetesFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	f.which(flags)
	flags.StringVar(&f.container, "sensor-container", "", "container of the sensor in its pod (default: falco, peregrine, or the only container)")
	flags.StringSliceVar(&f.nodes, "node", nil, "`NAME` of a node to measure (repeatable)")
	flags.BoolVar(&f.eachKind, "each-node-kind", false, "measure one node of each instance type")
	flags.IntVar(&f.parallel, "parallel", 1, "number of nodes to measure at the same time")
	flags.StringVar(&f.image, "image", "", "image that generates the load (default: the sensor's own image, if it is Peregrine)")
	flags.IntVar(&f.port, "port", 18080, "port on the node that receives alerts")
	choiceFlag(cmd, flags, &f.channel, "alerts", "how alerts reach the test, to that port or by gRPC in the sensor's pod (Peregrine, Falco up to 0.43)", "http", "socket")
	flags.DurationVar(&f.ready, "ready-timeout", 2*time.Minute, "how long a sensor may take to become ready")
	f.addMethod(flags)
	flags.Lookup("max-duration").Usage = "time for all rows of a node together (default: about 190s a row)"
	flags.StringVar(&f.out, "out", "", "directory of the run (default peregrine-capacity-TIME)")
	choiceFlag(cmd, flags, &f.format, "format", "format of standard output (with --observed also a patch)", slices.Concat([]string{"text", "markdown", "csv", "json"}, kubernetes.Patches)...)
	flags.StringVar(&f.observed, "observed", "", "URL of a Prometheus server: recommend resources for last week's rates, by kind of node")
	flags.StringVar(&f.publish, "report-configmap", "", "also store the reports in this ConfigMap; the namespace of the load must already exist")
	group(flags, "Which sensor", "daemonset", "sensor-container", "node", "each-node-kind", "parallel", "image", "alerts", "port", "ready-timeout")
	groupCapacity(flags)
	group(flags, "Results", "report-configmap")
	group(flags, "Cluster", "kubeconfig", "context", "namespace")
}

// methodFlags are passed on to the Jobs.
var methodFlags = []string{"load", "actions", "quick", "start-rate", "precision", "confirm", "seed", "count-syscalls", "force"}

func (f *capacityKubernetesFlags) run(env Env, cmd *cobra.Command, args []string) error {
	o, err := f.options(env, cmd, args)
	if err != nil {
		return err
	}
	dir, err := run.Create(f.out, time.Now())
	if err != nil {
		return err
	}
	progress := newProgress(env, f.quiet)
	o.Say = progress.say
	production, err := f.production(env, o, progress)
	if err != nil {
		return err
	}
	one := len(o.Nodes) == 1
	var keepErr error // of the nodes that are measured at the same time
	var mu sync.Mutex
	o.Keep = func(n kubernetes.Node) {
		mu.Lock()
		defer mu.Unlock()
		keepErr = errors.Join(keepErr, keepNode(dir, n, one))
	}
	measured, err := kubernetes.Run(env.Context, o)
	err = errors.Join(err, keepErr, f.report(env, dir, measured, one), f.advise(env, dir, production, measured))
	if f.publish != "" {
		err = errors.Join(err, f.publishReport(env, o, dir, progress))
	}
	if entries, readErr := os.ReadDir(dir); readErr == nil && len(entries) > 0 {
		progress.say("\nreport: %s", dir)
	}
	return capacityExit(env.Context, onlyResult(measured), err, nil)
}

// production reads the rates of --observed, before the load begins: a bad
// address must not cost an hour. nil without the flag.
func (f *capacityKubernetesFlags) production(env Env, o kubernetes.Options, progress *progress) (*kubernetes.Observed, error) {
	if f.observed == "" {
		return nil, nil
	}
	seen, err := kubernetes.Observe(env.Context, o.Client, f.observed)
	if err == nil && len(seen.Unknown) > 0 {
		progress.say("note: %d series of %s belong to no node of this cluster, such as %q", len(seen.Unknown), seen.Source, seen.Unknown[0])
	}
	return seen, err
}

// advise writes the recommendation: for people, or as a patch.
func (f *capacityKubernetesFlags) advise(env Env, dir string, production *kubernetes.Observed, measured []kubernetes.Node) error {
	if production == nil || len(measured) == 0 {
		return nil
	}
	advice := production.Advise(measured)
	text, err := json.MarshalIndent(advice, "", " ")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "recommendation.json"), text, 0o644)
	}
	if err != nil {
		return err
	}
	if slices.Contains(kubernetes.Patches, f.format) {
		return kubernetes.WritePatch(env.Stdout, f.format, measured[0].Sensor, advice)
	}
	if f.format != "text" {
		return nil // it is in the file
	}
	fmt.Fprintln(env.Stdout)
	return kubernetes.WriteAdvice(env.Stdout, advice)
}

// publishReport puts the files of a run into a ConfigMap.
func (f *capacityKubernetesFlags) publishReport(env Env, o kubernetes.Options, dir string, progress *progress) error {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[strings.ReplaceAll(name, "/", ".")] = string(text) // keys have no slash
		return err
	})
	if err != nil {
		return err
	}
	left, err := kubernetes.Publish(context.WithoutCancel(env.Context), o.Client, o.Namespace, f.publish, files)
	if len(left) > 0 {
		progress.say("note: ConfigMap %s has no room for %s", f.publish, strings.Join(left, ", "))
	}
	return err
}

// keepNode writes the result of a node: into its own directory, if there are
// others.
func keepNode(dir string, n kubernetes.Node, one bool) error {
	if n.Result == nil || !n.Result.Measured() {
		return nil
	}
	if !one {
		var err error
		if dir, err = run.Create(filepath.Join(dir, n.Name), time.Now()); err != nil {
			return err
		}
	}
	return errors.Join(run.Save(dir, n.Result), run.WriteReports(dir, n.Result))
}

// onlyResult is the result that decides whether a run is conclusive: that of
// the only node. In a fleet, some kinds may be inconclusive.
func onlyResult(measured []kubernetes.Node) *capacity.Result {
	if len(measured) == 1 {
		return measured[0].Result
	}
	return nil
}

// report writes the table of all nodes, or the report of the only one.
func (f *capacityKubernetesFlags) report(env Env, dir string, measured []kubernetes.Node, one bool) error {
	if len(measured) == 0 {
		return nil
	}
	patch := slices.Contains(kubernetes.Patches, f.format) // which is all that standard output gets
	if one {
		if result := measured[0].Result; result != nil && result.Measured() && !patch {
			return report.Write(env.Stdout, env.reportFormat(f.format), result)
		}
		return nil
	}
	file, err := os.Create(filepath.Join(dir, "fleet.md"))
	if err != nil {
		return err
	}
	err = errors.Join(kubernetes.WriteTable(file, measured, true), file.Close())
	switch {
	case patch:
		return err
	case f.format == "json":
		return errors.Join(err, json.NewEncoder(env.Stdout).Encode(measured))
	}
	return errors.Join(err, kubernetes.WriteTable(env.Stdout, measured, f.format == "markdown"))
}

// options are the flags as a run.
func (f *capacityKubernetesFlags) options(env Env, cmd *cobra.Command, args []string) (kubernetes.Options, error) {
	f.nodes = once(f.nodes)
	o := kubernetes.Options{DaemonSet: f.daemonset, Container: f.container, Nodes: f.nodes, EachKind: f.eachKind, Parallel: f.parallel, Image: f.image, Port: f.port, Socket: f.channel == "socket",
		SensorArgs: args, Publish: f.publish, Ready: f.ready, Command: recorded(withoutOut(env.Args)), Now: time.Now}
	usage := func(err error) (kubernetes.Options, error) { return o, asUsage(err) }
	if (len(f.nodes) == 0) != f.eachKind {
		return usage(errors.New("no nodes selected: give --node NAME, or --each-node-kind for one node of each instance type"))
	}
	formats := []string{"text", "markdown", "csv", "json"}
	if f.eachKind || len(f.nodes) > 1 {
		formats = []string{"text", "markdown", "json"} // each node's directory has the others
	}
	if f.observed != "" {
		formats = append(formats, kubernetes.Patches...)
	}
	if !slices.Contains(formats, f.format) {
		return usage(fmt.Errorf("--format %q: expected %s (a recommendation needs --observed)", f.format, strings.Join(formats, ", ")))
	}
	cpus, memories, err := f.limits()
	if err != nil {
		return usage(err)
	}
	for _, memory := range memories {
		for _, cpu := range cpus {
			o.Limits = append(o.Limits, capacity.Limit{CPU: cpu, Memory: memory})
		}
	}
	if _, err := capacity.ParseLoad(f.load); err != nil {
		return usage(err)
	}
	plan := f.plan(cmd)
	o.Row = min(run.PerRow, plan.Budget+20*time.Second)
	if f.max > 0 {
		o.Row = f.max / time.Duration(len(o.Limits)*max(1, f.repeat))
	}
	for _, name := range methodFlags {
		if flag := cmd.Flags().Lookup(name); flag.Changed {
			o.Flags = append(o.Flags, fmt.Sprintf("--%s=%s", name, flag.Value))
		}
	}
	o.Repeat = f.repeat
	return o, f.connect(cmd, &o)
}

// once drops repeated names: a node takes one measurement at a time.
func once(names []string) []string {
	var kept []string
	for _, name := range names {
		if !slices.Contains(kept, name) {
			kept = append(kept, name)
		}
	}
	return kept
}

// connect fills in the cluster and the namespace of the load.
func (f *capacityKubernetesFlags) connect(cmd *cobra.Command, o *kubernetes.Options) (err error) {
	if o.Client, err = f.cluster.Connect("peregrine-capacity"); err != nil {
		return &ExitError{Code: ExitPreflight, Err: err}
	}
	o.Client.Patient = true // a run lasts longer than an API server takes to start again
	o.Namespace = f.namespace(cmd)
	return nil
}

func (f *capacityKubernetesFlags) namespace(cmd *cobra.Command) string {
	if flag := cmd.Flags().Lookup("namespace"); flag.Changed {
		return flag.Value.String()
	}
	return capacityNamespace
}

func newCapacityKubernetesRestore(env Env) *cobra.Command {
	f := &capacityKubernetesFlags{}
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Undo what a killed capacity run left in the cluster",
		Long: `Restore deletes the load of a killed run and the copies that replaced the
sensor's pods. The DaemonSet then recreates its own pods. Restore does not touch
active runs, or runs on other DaemonSets. The next run does the same before it
starts.`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			o := kubernetes.Options{DaemonSet: f.daemonset, Now: time.Now, Say: newProgress(env, false).say}
			if err := f.connect(cmd, &o); err != nil {
				return err
			}
			did, err := kubernetes.Restore(env.Context, o)
			env.printUndone(did, err, "nothing to restore")
			return capacityExit(env.Context, nil, err, nil)
		},
	}
	f.which(cmd.Flags())
	return cmd
}

func newCapacityKubernetesRBAC(env Env) *cobra.Command {
	f := &capacityKubernetesFlags{}
	var sensor string
	var publish bool
	cmd := &cobra.Command{
		Use:   "rbac --sensor-namespace NAMESPACE",
		Short: "Print the smallest role that a capacity run needs in the cluster",
		Long: `Rbac prints manifests for kubectl apply: the namespace of the load, a service
account in it, and the roles that let this account run capacity kubernetes. It
does not contact the cluster.`,
		Example: `  peregrine capacity kubernetes rbac --sensor-namespace falco | kubectl apply -f -`,
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, object := range (kubernetes.Scope{Sensor: sensor, Load: f.namespace(cmd), Find: true, Kinds: true, Publish: publish}).Manifest() {
				text, err := yaml.Marshal(object)
				if err != nil {
					return err
				}
				fmt.Fprintf(env.Stdout, "---\n%s", text)
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringP("namespace", "n", capacityNamespace, "namespace of the load")
	flags.BoolVar(&publish, "report-configmap", false, "include the right to write a ConfigMap")
	flags.StringVar(&sensor, "sensor-namespace", "peregrine", "namespace of the sensor's DaemonSet")
	return cmd
}
