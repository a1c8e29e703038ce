package stand

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench/target"
)

// usualPlaces are where packages install Falco.
var usualPlaces = []string{"/usr/bin/falco", "/usr/local/bin/falco", "/opt/falco/bin/falco"}

func findFalco(program string) (string, error) {
	if program != "" {
		path, err := exec.LookPath(program)
		if err != nil {
			return "", fmt.Errorf("no Falco at %s (%w): install Falco, or name its program with --falco FILE", program, errors.Unwrap(err))
		}
		return path, nil
	}
	if path, err := exec.LookPath("falco"); err == nil {
		return path, nil
	}
	for _, path := range usualPlaces {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no falco in PATH, and none at %s: install Falco, name its program with --falco FILE, or measure one that runs with --unit, --container or --pid", strings.Join(usualPlaces, ", "))
}

// Minor versions of Falco (0.N) since which it has a way to be measured, and
// until which it had an older one.
const (
	sinceMetrics = 35 // metrics.output_file; -s has gone with 0.36
	untilRate    = 36 // outputs.rate, a limit of alerts per second
	sinceAppend  = 39 // append_output, and -o KEY={...}
	untilGRPC    = 43 // grpc_output
)

// falcoConfig is how a Falco of a release is started to be measured: its
// configuration and rules as they are, but alerts as JSON on standard output,
// unlimited, with the thread's id, stats each second, and a log that says when
// it opens its source.
func falcoConfig(o *Options, release string) target.Config {
	stats, minor := filepath.Join(o.Dir, "falco-stats.json"), minorOf(release)
	command := append([]string{o.Program}, sensorArgs(o.Config, o.Rules, nil)...)
	settings := []string{
		"json_output=true",
		"json_include_output_property=false",
		"stdout_output.enabled=true",
		"syslog_output.enabled=false",
		"file_output.enabled=false",
		"program_output.enabled=false",
		"http_output.enabled=false",
		"webserver.enabled=false",
		"buffered_outputs=false",
		"log_stderr=true",
		"log_level=info",
	}
	if minor >= sinceAppend {
		settings = append(settings, "append_output[]={match: {source: syscall}, extra_fields: [proc.pid, thread.tid]}")
	} else {
		command = append(command, "-p", "pid=%proc.pid tid=%thread.tid")
	}
	if minor >= sinceMetrics {
		settings = append(settings,
			"metrics.enabled=true",
			"metrics.interval=1s",
			"metrics.output_file="+stats,
			"metrics.kernel_event_counters_enabled=true",
			"metrics.resource_utilization_enabled=true")
	} else {
		command = append(command, "-s", stats, "--stats-interval", "1000")
	}
	if minor <= untilRate {
		settings = append(settings, "outputs.rate=1000000000", "outputs.max_burst=1000000000")
	}
	if minor <= untilGRPC {
		settings = append(settings, "grpc_output.enabled=false")
	}
	for _, setting := range settings {
		command = append(command, "-o", setting)
	}
	return target.Config{Command: append(command, o.Args...), Ready: "Opening 'syscall' source", ReadyTimeout: 20 * time.Second, ReadyHint: true, StatsFile: stats, Log: o.Log}
}

// minorOf is N of a release 0.N. Any other, one that is not known, and 0.0,
// which is a build without a tag, count as newer than all.
func minorOf(release string) int {
	var major, minor int
	if n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor); n < 2 || major > 0 || minor == 0 {
		return math.MaxInt
	}
	return minor
}

// digest is the SHA-256 of files, one after the other; "" if one cannot be
// read.
func digest(files []string) string {
	if len(files) == 0 {
		return ""
	}
	sum := sha256.New()
	for _, name := range files {
		if err := hashFile(sum, name); err != nil {
			return ""
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func hashFile(sum io.Writer, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	fmt.Fprintf(sum, "%s\x00", filepath.Base(name))
	_, err = io.Copy(sum, f)
	return err
}
