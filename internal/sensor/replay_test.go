package sensor

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/sensor/capture"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

var update = flag.Bool("update", false, "write golden files anew")

// story is a capture in which each line of the golden file has its cause, and
// things that look alike but are harmless have none.
func story(w *capture.Writer) {
	now := uint64(1_700_000_000_000_000_000)
	ev := func(tid int64, k event.Kind, values ...capture.Value) {
		now += 1_000_000
		w.Event(now, tid, 0, k, values...)
	}
	num, text := capture.Num, capture.Text
	open := func(tid, fd int64, path string, flags int64) {
		ev(tid, event.KindOpenat, num(fd), num(-100), text(path), num(flags), num(0o600), num(8), num(9))
	}
	exec := func(tid, ptid int64, path, args, env string) {
		comm := path[strings.LastIndex(path, "/")+1:]
		ev(tid, event.KindExecve, num(0), text(path), text(args), num(tid), num(tid), num(ptid), text("/"), num(1024), num(0), num(0),
			num(0), num(0), num(0), text(comm), text("memory=/user\x00"), text(env), num(0), num(tid), num(1000), num(0),
			num(0), num(5), num(4), num(7), num(1), num(2), num(0), text(path), num(tid), num(0), text(path))
	}
	const read, writeOnly, create, truncate = 1, 2, 4, 0x100

	exec(60, 50, "/usr/bin/cat", "/etc/shadow\x00", "")
	open(60, 3, "/etc/shadow", read)               // alert
	open(60, 3, "/etc/hostname", read)             // harmless
	open(60, -13, "/etc/shadow", read)             // refused
	open(60, 3, "/var/www/../../etc/shadow", read) // alert: traversal
	exec(60, 50, "/usr/bin/sudo", "id\x00", "")
	open(60, 3, "/etc/shadow", read) // sudo may
	exec(60, 50, "/usr/bin/logrotate", "", "")
	open(60, 4, "/var/log/syslog", writeOnly|create|truncate)                    // alert
	open(60, 4, "/var/log/syslog", writeOnly|create)                             // appends
	exec(60, 50, "/usr/bin/find", "/\x00-name\x00id_rsa\x00", "")                // alert
	exec(60, 50, "/usr/bin/find", "/\x00-name\x00core\x00", "")                  // harmless
	exec(60, 50, "/usr/bin/id", "", "GLIBC_TUNABLES=glibc.malloc.x=y\x00")       // alert
	ev(60, event.KindSymlink, num(0), text("/etc"), text("/tmp/l"))              // alert
	ev(60, event.KindSymlink, num(0), text("/etc/hosts"), text("/tmp/l"))        // harmless
	ev(60, event.KindChmod, num(0), text("/tmp/x"), num(0o4755))                 // alert
	ev(60, event.KindChmod, num(0), text("/tmp/x"), num(0o755))                  // harmless
	ev(60, event.KindUnlink, num(0), text("/root/.bash_history"))                // alert
	ev(60, event.KindUnlink, num(0), text("/root/notes"))                        // harmless
	ev(60, event.KindPtrace, num(0), text("\x00"), text("\x00"), num(1), num(0)) // alert: PTRACE_TRACEME
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

func TestReplayAlerts(t *testing.T) {
	var file bytes.Buffer
	w := capture.NewWriter(&file, capture.Machine{CPUs: 2, MemoryBytes: 1 << 30, MaxPID: 32768, Hostname: "box"})
	w.Users(map[uint32]string{0: "root", 1000: "ann"}, nil)
	w.Processes(
		capture.Process{TID: 1, PID: 1, SID: 1, VTID: 1, VPID: 1, Comm: "init", Exe: "/sbin/init", ExePath: "/sbin/init", CWD: "/", Root: "/"},
		capture.Process{TID: 50, PID: 50, PTID: 1, SID: 50, VTID: 50, VPID: 50, Comm: "python3", Exe: "python3", ExePath: "/usr/bin/python3", CWD: "/", Root: "/"},
		capture.Process{TID: 60, PID: 60, PTID: 50, SID: 50, VTID: 60, VPID: 60, Comm: "python3", Exe: "python3", ExePath: "/usr/bin/python3", CWD: "/", Root: "/"},
	)
	story(w)
	if err := w.Err(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "story.scap")
	write(t, path, file.String())
	got := replayed(t, path)
	golden := filepath.Join("testdata", "replay.golden")
	if *update {
		write(t, golden, got)
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("alerts of the replay (-want +got):\n%s", diff)
	}
}
