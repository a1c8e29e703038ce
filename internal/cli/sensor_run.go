package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/internal/sensor"
	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics/web"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
	"github.com/peregrine-sec/peregrine/internal/version"
)

// runSensor prints the output of an informational flag, or runs the sensor.
func runSensor(env Env, f *daemonFlags, notes []string) error {
	for _, note := range notes {
		fmt.Fprintln(env.Stderr, "Warning:", note)
	}
	if print := f.printer(env); print != nil {
		return print(env.Stdout)
	}
	hangup, reopen := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	signal.Notify(reopen, syscall.SIGUSR1)
	defer signal.Stop(hangup)
	defer signal.Stop(reopen)
	opt := f.sensorOptions(env)
	opt.Hangup, opt.Reopen, opt.Hurry = hangup, reopen, env.Hurry
	return sensor.Run(env.Context, opt)
}

// printer returns the function that prints and exits, nil if the sensor should
// run.
func (f *daemonFlags) printer(env Env) func(io.Writer) error {
	switch {
	case f.version:
		return func(w io.Writer) error { return f.printVersion(env, w) }
	case f.pageSize:
		return func(w io.Writer) error { _, err := fmt.Fprintln(w, os.Getpagesize()); return err }
	case f.listPlugins:
		return listPlugins
	case f.pluginInfo != "":
		return func(w io.Writer) error { return pluginInfo(w, f.pluginInfo) }
	case f.ruleSchema:
		return rules.WriteSchema
	case f.configSchema:
		return config.WriteSchema
	case f.listFields:
		return f.printFields
	case f.listEvents:
		return f.printEvents
	case f.listSyscalls:
		return printIgnored
	case len(f.validate) > 0:
		return func(w io.Writer) error { return f.validateRules(env, w) }
	case f.listRules || f.describe != "":
		return func(w io.Writer) error { return f.describeRules(env, w) }
	case f.markdown: // --list-fields-markdown of old
		return f.printFields
	case f.support:
		return func(w io.Writer) error { return f.printSupport(env, w) }
	}
	return nil
}

// printVersion prints the answer of the web server's /versions, under Falco's
// names, since tools look for these.
func (f *daemonFlags) printVersion(env Env, w io.Writer) error {
	cfg, err := f.loadConfig(env)
	if err != nil {
		return err
	}
	v := web.VersionsOf(version.Version(), version.Engine)
	if cfg.JSON {
		return json.NewEncoder(w).Encode(v)
	}
	_, err = fmt.Fprintf(w, `Peregrine version: %s (%s/%s, %s)
Falco version: %s
Libs version:  %s
Plugin API:    %s
Engine:        %s
Driver:
  API version:    %s
  Schema version: %s
  Default driver: %s
`, version.Version(), runtime.GOOS, runtime.GOARCH, runtime.Version(), v.Falco, v.Libs, v.PluginAPI, version.Engine,
		v.DriverAPI, v.DriverSchema, v.DefaultDriver)
	return err
}

// printFields is --list.
func (f *daemonFlags) printFields(w io.Writer) error {
	fields := field.All()
	if f.listSource != "" {
		of := field.Of(f.listSource)
		if of == nil {
			return fmt.Errorf("--list=%s: the sources of events are syscall and k8s_audit", f.listSource)
		}
		fields = of.All()
	}
	switch {
	case f.names:
		return field.WriteNames(w, fields)
	case f.listFormat() == "markdown":
		return field.WriteMarkdown(w, fields)
	case f.listFormat() == "json":
		return field.WriteJSON(w, fields)
	}
	return field.WriteText(w, fields, f.verbose)
}

// printEvents is --list-events.
func (f *daemonFlags) printEvents(w io.Writer) error {
	if f.listFormat() == "markdown" {
		return field.WriteEventsMarkdown(w)
	}
	return field.WriteEvents(w)
}

func (f *daemonFlags) listFormat() string {
	if f.markdown {
		return "markdown"
	}
	return f.format
}

// printIgnored lists the syscalls that need -A, as falco -i does.
func printIgnored(w io.Writer) error {
	fmt.Fprintln(w, "Ignored syscall(s):")
	for _, k := range plan.HighVolume() {
		if _, err := fmt.Fprintln(w, "  "+k.String()); err != nil {
			return err
		}
	}
	return nil
}

// validateRules is -V.
func (f *daemonFlags) validateRules(env Env, w io.Writer) error {
	cfg, err := f.loadConfig(env)
	if err != nil {
		return err
	}
	sources, err := sensor.SourcesOf(f.validate)
	if err != nil {
		return err
	}
	set, report := rules.Load(sources, sensor.RuleOptions())
	if cfg.JSON {
		var d *rules.Description
		if set != nil && (f.listRules || f.describe != "") {
			if d, err = set.Describe(f.describe, sensor.AlertOptions(cfg, "", f.print)); err != nil {
				return err
			}
		}
		err = report.WriteJSON(w, d)
	} else {
		err = report.WriteText(w, f.verbose)
	}
	if err == nil {
		err = report.Err()
	}
	if set != nil {
		for _, r := range set.Enabled(alert.Debug) {
			if why := plan.Never(r, sensor.PlanOptions(cfg)); why != "" {
				fmt.Fprintf(env.Stderr, "Warning: rule %q can never match here: %s\n", r.Name, why)
			}
		}
	}
	return err
}

// describeRules is -L and -l.
func (f *daemonFlags) describeRules(env Env, w io.Writer) error {
	cfg, err := f.loadConfig(env)
	if err != nil {
		return err
	}
	_, set, _, err := sensor.SelectRules(cfg, f.selection())
	if err != nil {
		return err
	}
	d, err := set.Describe(f.describe, sensor.AlertOptions(cfg, "", f.print))
	if err != nil {
		return err
	}
	if cfg.JSON {
		return d.WriteJSON(w)
	}
	return d.WriteText(w)
}

// printSupport is --support: the data for a bug report.
func (f *daemonFlags) printSupport(env Env, w io.Writer) error {
	cfg, err := f.loadConfig(env)
	if err != nil {
		return err
	}
	sources, _, err := sensor.RuleSources(cfg)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	var names []string
	for _, s := range sources {
		names = append(names, s.Name)
	}
	return enc.Encode(map[string]any{
		"version": version.Version(), "engine_version": version.Engine, "go": runtime.Version(),
		"kernel": procfs.Host.Kernel(), "arch": runtime.GOARCH, "cpus": runtime.NumCPU(),
		"cmdline": os.Args, "config_files": cfg.Files, "rules_files": names, "event_kinds": event.NumKinds,
	})
}

func (f *daemonFlags) selection() sensor.Selection {
	return sensor.Selection{DisableRules: f.disableRules, DisableTags: f.disableTags, OnlyTags: f.onlyTags, DisableAudit: !f.wants(field.K8sAuditSource)}
}

// listPlugins is --list-plugins: the plugins of Falco whose work the sensor
// does itself, as Falco lists those that it has loaded.
func listPlugins(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%d Plugins Loaded:\n\n", len(rules.BuiltinPlugins))
	for _, p := range rules.BuiltinPlugins {
		if err == nil {
			err = writePlugin(w, p)
		}
	}
	return err
}

// pluginInfo is --plugin-info NAME.
func pluginInfo(w io.Writer, name string) error {
	var names []string
	for _, p := range rules.BuiltinPlugins {
		if p.Name == name {
			return writePlugin(w, p)
		}
		names = append(names, p.Name)
	}
	return fmt.Errorf("--plugin-info %s: plugin not found; plugins are built in, not loaded: %s", name, strings.Join(names, ", "))
}

func writePlugin(w io.Writer, p rules.Plugin) error {
	_, err := fmt.Fprintf(w, "Name: %s\nDescription: built into the sensor, with the fields of Falco's plugin\nVersion: %s\n\n", p.Name, p.Version)
	return err
}
