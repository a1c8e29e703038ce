// Package falco configures each Falco release for a measurement: alerts as
// JSON, unthrottled, with their thread; and statistics.
package falco

import (
	"fmt"
	"math"
	"strings"
)

// Release is N of a release 0.N.
type Release int

// Newest has the options of the latest release, and none that were removed.
const Newest Release = math.MaxInt

// The first releases with a feature that a measurement uses, and the last ones
// with an older feature.
const (
	sinceMetrics  Release = 35 // metrics.output_file; -s has gone with 0.36
	untilRate     Release = 36 // outputs.rate, a limit of alerts per second
	sinceEndpoint Release = 38 // /metrics of the web server
	sinceAppend   Release = 40 // append_output by -o: before, "[]" in a key ends Falco, and 0.39.0 splits the value at commas
	untilGRPC     Release = 43 // grpc and grpc_output
)

// Parse reads a version such as "0.37.1" or "v0.37.1-slim". Any other, and 0.0, which
// is a build without a tag, count as the newest.
func Parse(version string) Release {
	var major, minor int
	n, _ := fmt.Sscanf(strings.TrimPrefix(version, "v"), "%d.%d", &major, &minor)
	if n < 2 || major > 0 || minor == 0 {
		return Newest
	}
	return Release(minor)
}

// Set are the arguments that set keys of the configuration, as KEY=VALUE.
func Set(settings ...string) []string {
	var args []string
	for _, setting := range settings {
		args = append(args, "-o", setting)
	}
	return args
}

// Alerts are the arguments by which alerts are JSON, name their thread and are not
// limited. Where they go is another matter. Falco skips keys that it does not know.
func (r Release) Alerts() []string {
	args := Set("json_output=true", "json_include_output_fields_property=true")
	if r >= sinceAppend {
		args = append(args, Set("append_output[]={match: {source: syscall}, extra_fields: [proc.pid, thread.tid]}")...)
	} else {
		args = append(args, "-p", "pid=%proc.pid tid=%thread.tid")
	}
	if r <= untilRate {
		args = append(args, Set("outputs.rate=1000000000", "outputs.max_burst=1000000000")...)
	}
	return args
}

// StatsFile are the arguments by which statistics are appended to a file each second.
func (r Release) StatsFile(path string) []string {
	if r < sinceMetrics {
		return []string{"-s", path, "--stats-interval", "1000"}
	}
	return append(r.metrics(), Set("metrics.interval=1s", "metrics.output_file="+path)...)
}

// StatsEndpoint are the arguments by which the web server has them at /metrics; nil
// where it cannot.
func (r Release) StatsEndpoint() []string {
	if r < sinceEndpoint {
		return nil
	}
	return append(r.metrics(), Set("webserver.enabled=true", "webserver.prometheus_metrics_enabled=true")...)
}

func (r Release) metrics() []string {
	return Set("metrics.enabled=true",
		"metrics.output_rule=false", // which makes each sample an alert too
		"metrics.rules_counters_enabled=true", "metrics.kernel_event_counters_enabled=true", "metrics.resource_utilization_enabled=true")
}

// GRPC says whether there is a gRPC output.
func (r Release) GRPC() bool { return r <= untilGRPC }
