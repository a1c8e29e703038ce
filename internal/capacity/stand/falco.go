package stand

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench/target"
	"github.com/peregrine-sec/peregrine/internal/capacity/falco"
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

// build describes a Falco's program.
type build struct {
	release string // "" if it does not tell
	help    string // its flags
}

// devices are those of Falco's kernel module.
var devices = "/dev/falco*"

// falcoConfig is how a Falco is started to be measured: its configuration and
// rules as they are, but alerts as JSON on standard output, unlimited and at
// once, with the thread's id, stats each second, and a log that says when it
// opens its source.
func falcoConfig(o *Options, program build) target.Config {
	stats, r := filepath.Join(o.Dir, "falco-stats.json"), falco.Parse(program.release)
	command := append([]string{o.Program}, sensorArgs(o.Config, o.Rules, nil)...)
	if strings.Contains(program.help, "--unbuffered") {
		command = append(command, "-U") // without it, many releases buffer whatever buffered_outputs says
	}
	if strings.Contains(program.help, "--modern-bpf") && !hasDriver(o.Args) {
		command = append(command, "--modern-bpf")
	}
	settings := []string{
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
	if r.GRPC() {
		settings = append(settings, "grpc.enabled=false", "grpc_output.enabled=false")
	}
	command = slices.Concat(command, r.Alerts(), falco.Set(settings...), r.StatsFile(stats))
	return target.Config{Command: append(command, o.Args...), Ready: opening, ReadyTimeout: 20 * time.Second, ReadyHint: true, StatsFile: stats, Log: o.Log}
}

// opening is in the line of a Falco that opens its source: "Opening 'syscall'
// source with ...", up to 0.34 "Opening capture with ...".
const opening = "Opening "

// hasDriver says whether a Falco that would take its kernel module by default,
// as those with --modern-bpf do (0.34 to 0.37), finds it, or has a flag for
// another driver. Falco refuses two such flags.
func hasDriver(args []string) bool {
	if loaded, err := filepath.Glob(devices); err == nil && len(loaded) > 0 {
		return true
	}
	if os.Getenv("FALCO_BPF_PROBE") != "" {
		return true
	}
	drivers := []string{"--modern-bpf", "--nodriver", "-e", "-u", "--userspace", "-g", "--gvisor-config"}
	return slices.ContainsFunc(args, func(arg string) bool {
		return slices.Contains(drivers, arg) || strings.Contains(arg, "engine.kind=")
	})
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
