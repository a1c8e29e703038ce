package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
)

// installed reads the DaemonSet of a file.
func installed(t *testing.T, file string) object {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	set := object{}
	if err := yaml.Unmarshal(text, &set); err != nil {
		t.Fatal(err)
	}
	set = convert[object](set)
	set["metadata"].(object)["uid"] = "ds-uid"
	return set
}

// Installations by the charts of Falco's releases are found, measured and put
// back. Each release gets arguments that it knows, and is asked for statistics
// in its own way.
func TestCharts(t *testing.T) {
	const (
		json, http        = "-o json_output=true -o json_include_output_fields_property=true ", "-o http_output.enabled=true -o http_output.url=http://10.0.0.1:18080 -o http_output.keep_alive=true -o http_output.compress_uploads=false -o http_output.echo=false"
		printed, appended = "-p pid=%proc.pid tid=%thread.tid ", "-o append_output[]={match: {source: syscall}, extra_fields: [proc.pid, thread.tid]} "
		rate              = "-o outputs.rate=1000000000 -o outputs.max_burst=1000000000 "
		metrics           = " -o metrics.enabled=true -o metrics.output_rule=false -o metrics.rules_counters_enabled=true -o metrics.kernel_event_counters_enabled=true -o metrics.resource_utilization_enabled=true"
		old               = " -s /peregrine-capacity/stats.json --stats-interval 1000"
		file              = metrics + " -o metrics.interval=1s -o metrics.output_file=/peregrine-capacity/stats.json"
		endpoint          = metrics + " -o webserver.enabled=true -o webserver.prometheus_metrics_enabled=true"
		inFile, atWeb     = "--stats file:/peregrine-capacity/stats.json", "--stats http://10.1.0.1:8765/metrics"
	)
	for release, want := range map[string]struct{ more, stats string }{
		"0.30": {json + printed + rate + http + old, inFile},
		"0.32": {json + printed + rate + http + old, inFile},
		"0.35": {json + printed + rate + http + file, inFile},
		"0.38": {json + printed + http + file, inFile},
		"0.39": {json + printed + http + endpoint, atWeb},
		"0.41": {json + appended + http + file, inFile},
		"0.44": {json + appended + http + endpoint, atWeb},
	} {
		t.Run(release, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, client := newCluster(t, 1, 1)
				c.set = installed(t, filepath.Join("testdata", "falco", release+".yaml"))
				before := convert[object](c.set["spec"].(object)["template"])
				var copied object
				load := ""
				c.log = func(args string) (string, int) {
					load = args
					for _, p := range c.pods {
						if labels, _ := p["metadata"].(object)["labels"].(object); labels[runLabel] != nil && p["args"] == nil {
							copied = convert[object](p)
						}
					}
					return measured(args)
				}
				if _, err := Run(context.Background(), options(t, client)); err != nil {
					t.Fatal(err)
				}
				more, alone := added(before, copied)
				if diff := cmp.Diff(want.more, more); diff != "" {
					t.Errorf("more arguments (-want +got):\n%s", diff)
				}
				if volume := strings.Contains(text(copied["spec"]), `"mountPath":"/peregrine-capacity"`); volume != (want.stats == inFile) {
					t.Errorf("a volume for the file: %v", volume)
				}
				if !strings.Contains(load, want.stats) || !strings.Contains(load, "--alerts http://0.0.0.0:18080") {
					t.Errorf("the load is %s", load)
				}
				if !alone {
					t.Error("another container was changed")
				}
				c.asBefore()
			})
		})
	}
}

// added are the arguments that the container falco of a copy has more than the template,
// and whether all other containers are as they were.
func added(template, copied object) (more string, alone bool) {
	alone = true
	for _, kind := range []string{"containers", "initContainers"} {
		was, _ := template["spec"].(object)[kind].([]any)
		is, _ := copied["spec"].(object)[kind].([]any)
		for i := range was {
			if was[i].(object)["name"] != "falco" {
				alone = alone && cmp.Equal(was[i], is[i])
				continue
			}
			args, before := is[i].(object)["args"].([]any), was[i].(object)["args"].([]any)
			words := fmt.Sprintln(args[len(before):]...)
			more = strings.TrimSpace(words)
			alone = alone && cmp.Equal(before, args[:len(before)])
		}
	}
	return more, alone
}

// With a socket, the sensor's own http_output is left alone. Falco has none since 0.44.
func TestSocket(t *testing.T) {
	for release, has := range map[string]bool{"0.30": true, "0.39": true, "0.41": true, "0.44": false, "peregrine": true} {
		synctest.Test(t, func(t *testing.T) {
			c, client := newCluster(t, 1, 1)
			if release == "peregrine" {
				container := c.template()["containers"].([]any)[0].(object)
				container["name"], container["image"], container["args"] = "peregrine", "localhost/peregrine:0.1.0", nil
			} else {
				c.set = installed(t, filepath.Join("testdata", "falco", release+".yaml"))
			}
			load := ""
			c.log = func(args string) (string, int) { load = args; return measured(args) }
			o := options(t, client)
			o.Socket = true
			_, err := Run(context.Background(), o)
			var refused *sweep.PreflightError
			switch {
			case !has && (!errors.As(err, &refused) || !strings.Contains(err.Error(), "no socket for alerts since 0.44")):
				t.Errorf("%s: %v", release, err)
			case has && (err != nil || !strings.Contains(load, "--alerts grpc:/peregrine-capacity/alerts.sock")):
				t.Errorf("%s: %v, load %s", release, err, load)
			}
			c.asBefore()
		})
	}
	c := &copied{release: 43}
	line := strings.Join(c.settings(), " ")
	if !strings.Contains(line, "grpc.enabled=true -o grpc.bind_address=unix:///peregrine-capacity/alerts.sock -o grpc_output.enabled=true") || strings.Contains(line, "http_output") {
		t.Errorf("settings %s", line)
	}
}
