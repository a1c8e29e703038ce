package sensor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/test/support/corpus"
)

// recordedRules make alerts of three kinds of events, one of which is about a
// descriptor that was opened before the recording, and one about a thread.
const recordedRules = `
- rule: recorded
  desc: d
  condition: evt.type in (open, openat) and fd.name startswith "/proc/self/recorded-" and proc.name = recorded-cat
  output: "%proc.name %proc.exepath %proc.cmdline %proc.pname %proc.aname[2] %proc.cwd %fd.name %user.name %user.homedir %group.name %container.id %proc.pid %proc.ppid %thread.tid %proc.sid %proc.env %proc.is_exe_writable %proc.exe_ino %evt.time.ns %proc.pid.ts %proc.loginshellid"
  priority: WARNING
  capture: true
  capture_duration: 2000
- rule: written
  desc: d
  condition: evt.type = write and proc.name = recorded-cat and fd.type = pipe
  output: "%fd.name %evt.arg.data %evt.res"
  priority: NOTICE
- rule: executed
  desc: d
  condition: evt.type in (execve, execveat) and evt.arg.res = 0 and proc.name startswith recorded-
  output: "%proc.cmdline %proc.pcmdline %proc.duration"
  priority: NOTICE
`

// An alert makes a recording that replays to that alert and all that follow.
// It shows two rows of docs/compatibility.md.
func TestRecordingReplaysItsAlerts(t *testing.T) {
	dir := t.TempDir()
	tool := filepath.Join(dir, "recorded-cat")
	copyFile(t, "/bin/cat", tool)
	prefix := filepath.Join(dir, "capture")
	rules := filepath.Join(dir, "rules.yaml")
	write(t, rules, recordedRules)
	s := start(t, recordedRules, "capture.enabled=true", "capture.path_prefix="+prefix, "base_syscalls.all=true",
		"append_output=[]", "time_format_iso_8601=true")
	// A shell, so that there are ancestors that were there before.
	run(t, "sh", "-c", tool+" /proc/self/recorded-1 /etc/hostname; echo more | "+tool+" | "+tool+" >/dev/null; exit 0")
	live := []alertLine{s.wait("of the open", func(a alertLine) bool { return a.Rule == "recorded" })}
	live = append(live, s.stop()...)
	if len(live) < 4 {
		t.Fatalf("%d alerts\n%s", len(live), s.stderr)
	}
	files, err := filepath.Glob(prefix + "_*_*.scap")
	if err != nil || len(files) != 1 {
		t.Fatalf("recordings %q, %v\n%s", files, err, s.stderr)
	}
	if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	again := alertsOf(t, replayed(t, files[0], "json_output=true", "rules_files="+rules))
	if diff := cmp.Diff(byHand(live), byHand(again)); diff != "" {
		t.Errorf("live and replayed (-live +replayed)\n%s", diff)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func alertsOf(t *testing.T, text string) (list []alertLine) {
	t.Helper()
	for line := range strings.Lines(text) {
		var a alertLine
		if json.Unmarshal([]byte(line), &a) == nil {
			list = append(list, a)
		}
	}
	return list
}

// byHand is the part of alerts that does not depend on how the sensor writes
// them.
func byHand(list []alertLine) (out []alertLine) {
	for _, a := range list {
		a.Hostname, a.Output = "", ""
		out = append(out, a)
	}
	return out
}

// A recording around the first alert of a capture gives all alerts that the
// capture gives, for every capture and every rule set of the corpus.
func TestRecordingsOfCaptures(t *testing.T) {
	alerts := 0
	for _, set := range corpus.Rules(t) {
		for _, file := range corpus.Captures(t) {
			prefix := filepath.Join(t.TempDir(), "capture")
			rules := "rules_files=[" + strings.Join(set.Files, ",") + "]"
			live := alertsOf(t, replayed(t, file, "json_output=true", "rule_matching=all", rules, "capture.enabled=true", "capture.mode=all_rules",
				"capture.default_duration=86400000", "capture.path_prefix="+prefix))
			alerts += len(live)
			files, err := filepath.Glob(prefix + "_*_*.scap")
			if err != nil || (len(live) > 0) != (len(files) == 1) {
				t.Fatalf("%s over %s: %d alerts, recordings %q, %v", set.Name, file, len(live), files, err)
			}
			if len(files) == 0 {
				continue
			}
			again := alertsOf(t, replayed(t, files[0], "json_output=true", "rule_matching=all", rules))
			if diff := cmp.Diff(live, again); diff != "" {
				t.Errorf("%s over %s (-capture +its recording)\n%s", set.Name, file, diff)
			}
		}
	}
	if alerts < 20 {
		t.Errorf("%d alerts", alerts)
	}
}

// A reload goes on with the recording that is on, or ends it if it turns
// recordings off.
func TestReloadWhileRecording(t *testing.T) {
	dir := t.TempDir()
	rules, configFile := filepath.Join(dir, "rules.yaml"), filepath.Join(dir, "config.yaml")
	prefix := filepath.Join(dir, "capture")
	write(t, configFile, "watch_config_files: false\n")
	write(t, rules, `
- rule: opened
  desc: d
  condition: evt.type in (open, openat) and fd.name startswith "/proc/self/reload-"
  output: "%fd.name %proc.name %proc.ppid"
  priority: WARNING
  capture: true
  capture_duration: 600000
`)
	var enabled atomic.Bool
	enabled.Store(true)
	s := startWith(t, func() (*config.Config, error) {
		return config.Load(config.Options{Path: configFile, RulesFiles: []string{rules}, Overrides: []string{
			"json_output=true", "time_format_iso_8601=true", "append_output=[]", "peregrine.status_socket=",
			fmt.Sprint("capture.enabled=", enabled.Load()), "capture.path_prefix=" + prefix,
		}})
	})
	open := func(name string) alertLine {
		return s.provoke(name, func() { _, _ = os.Open("/proc/self/" + name) }, func(a alertLine) bool { // the file does not exist
			return a.Fields["fd.name"] == "/proc/self/"+name
		})
	}
	reload := func(n int) {
		done := s.stderr.saw(fmt.Sprint("reload=", n))
		s.hangup <- syscall.SIGHUP
		<-done
	}
	live := []alertLine{open("reload-1")}
	reload(1)
	live = append(live, open("reload-2"))
	recorded := s.stderr.saw("recorded")
	enabled.Store(false)
	reload(2)
	open("reload-3")
	<-recorded
	s.stop()
	files, err := filepath.Glob(prefix + "_*_*.scap")
	if err != nil || len(files) != 1 {
		t.Fatalf("recordings %q, %v\n%s", files, err, s.stderr)
	}
	again := alertsOf(t, replayed(t, files[0], "json_output=true", "rules_files="+rules))
	for _, want := range byHand(live) {
		if !slices.ContainsFunc(byHand(again), func(a alertLine) bool { return cmp.Equal(a, want) }) {
			t.Errorf("%+v is not in the replay\n%+v", want, again)
		}
	}
	if slices.ContainsFunc(again, func(a alertLine) bool { return a.Fields["fd.name"] == "/proc/self/reload-3" }) {
		t.Error("recorded although it is off")
	}
}

// replayed runs a sensor over a capture and returns its standard output.
func replayed(t *testing.T, path string, overrides ...string) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	configFile := filepath.Join(t.TempDir(), "config.yaml")
	write(t, configFile, "watch_config_files: false\ntime_format_iso_8601: true\n")
	overrides = append([]string{
		"engine.kind=replay", "engine.replay.capture_file=" + path, "peregrine.status_socket=", "append_output=[]",
	}, overrides...)
	errs := make(chan error, 1)
	go func() {
		errs <- Run(context.Background(), Options{
			LoadConfig: func() (*config.Config, error) {
				return config.Load(config.Options{Path: configFile, Overrides: overrides})
			},
			Stdout: w, Stderr: new(bytes.Buffer), Getenv: func(string) string { return "" },
		})
		w.Close()
	}()
	var out bytes.Buffer
	if _, err := out.ReadFrom(r); err != nil {
		t.Fatal(err)
	}
	if err := <-errs; err != nil {
		t.Fatal(err)
	}
	return out.String()
}
