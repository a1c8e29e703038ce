package stand

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
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
	return "", errors.New("no falco in PATH or /usr/bin: install Falco, or name it with --falco FILE")
}

// falcoConfig is how a Falco is started to be measured: its configuration and
// rules as they are, but alerts as JSON on standard output, unlimited, with
// the thread's id, and stats each second. The keys exist since Falco 0.35.
func falcoConfig(o *Options) target.Config {
	stats := filepath.Join(o.Dir, "falco-stats.json")
	command := append([]string{o.Program}, sensorArgs(o.Config, o.Rules, nil)...)
	for _, setting := range []string{
		"json_output=true",
		"json_include_output_property=false",
		"stdout_output.enabled=true",
		"syslog_output.enabled=false",
		"file_output.enabled=false",
		"http_output.enabled=false",
		"webserver.enabled=false",
		"buffered_outputs=false",
		"append_output[]={match: {source: syscall}, extra_fields: [proc.pid, thread.tid]}",
		"metrics.enabled=true",
		"metrics.interval=1s",
		"metrics.output_file=" + stats,
		"metrics.kernel_event_counters_enabled=true",
		"metrics.resource_utilization_enabled=true",
	} {
		command = append(command, "-o", setting)
	}
	return target.Config{Command: append(command, o.Args...), Ready: "Opening 'syscall' source", ReadyTimeout: time.Minute, StatsFile: stats, Log: o.Log}
}

// falcoVersion asks the program, in the way that every version answers.
func falcoVersion(ctx context.Context, program string) string {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return "Falco of unknown version"
	}
	for _, line := range strings.Split(string(out), "\n") {
		if version, ok := strings.CutPrefix(strings.TrimSpace(line), "Falco version: "); ok {
			return "Falco " + strings.Fields(version + " ?")[0]
		}
	}
	return "Falco of unknown version"
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
