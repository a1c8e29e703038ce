package capture_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/sensor"
	"github.com/peregrine-sec/peregrine/internal/sensor/capture"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

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
		errs <- sensor.Run(context.Background(), sensor.Options{
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

// capturedStory is a capture file of the story.
func capturedStory(t *testing.T) string {
	t.Helper()
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
	return path
}

func TestReplayAlerts(t *testing.T) {
	got := replayed(t, capturedStory(t))
	golden := filepath.Join("testdata", "replay.golden")
	if *capture.Update {
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

// onlyInit is the process of a capture that has no other.
var onlyInit = capture.Process{TID: 1, PID: 1, SID: 1, VTID: 1, VPID: 1, Comm: "init", Exe: "init", ExePath: "/init", CWD: "/", Root: "/"}

// written is a capture file of what add writes into it.
func written(t *testing.T, add func(*capture.Writer)) (path string) {
	t.Helper()
	var file bytes.Buffer
	w := capture.NewWriter(&file, capture.Machine{CPUs: 1, MaxPID: 32768, Hostname: "box"})
	add(w)
	if err := w.Err(); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "written.scap")
	write(t, path, file.String())
	return path
}

// A capture has events of all kinds, whatever is looked at live; they are
// counted from 1, and the processes at its start do not count.
//
// It shows a row of docs/compatibility.md.
func TestReplayCountsEvents(t *testing.T) {
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, rules, "- rule: every\n  desc: d\n  condition: evt.type in (execve, openat, write)\n  output: n=%evt.num %evt.type\n  priority: INFO\n")
	path := written(t, func(w *capture.Writer) {
		w.Processes(onlyInit)
		now := uint64(1_700_000_000_000_000_000)
		w.Event(now, 1, 0, event.KindWrite, capture.Num(1), capture.Text("x"), capture.Num(1), capture.Num(1))
		w.Event(now+1, 1, 0, event.KindWrite, capture.Num(1), capture.Text("y"), capture.Num(1), capture.Num(1))
	})
	got := replayed(t, path, "rules_files=["+rules+"]")
	if !strings.Contains(got, " n=1 write\n") || !strings.Contains(got, " n=2 write\n") {
		t.Errorf("%s", got)
	}
}

// A replay knows the types of all descriptors from the capture, unconnected
// sockets among them.
func TestReplayKnowsDescriptors(t *testing.T) {
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, rules, "- rule: every\n  desc: d\n  condition: evt.type=close and fd.types intersects (ipv4)\n  output: \"types=%fd.types second=%fd.types[4] none=%fd.types[9]\"\n  priority: INFO\n")
	path := written(t, func(w *capture.Writer) {
		w.Processes(onlyInit)
		now, num := uint64(1_700_000_000_000_000_000), capture.Num
		w.Event(now, 1, 0, event.KindOpenat, num(3), num(-100), capture.Text("/etc/passwd"), num(1), num(0), num(8), num(9))
		w.Event(now+1, 1, 0, event.KindSocket, num(4), num(2), num(1), num(0))
		w.Event(now+2, 1, 0, event.KindClose, num(0), num(5))
		w.Event(now+3, 1, 0, event.KindClose, num(0), num(4))
		w.Event(now+4, 1, 0, event.KindClose, num(0), num(3))
	})
	got := replayed(t, path, "rules_files=["+rules+"]")
	if !strings.Contains(got, "types=(file,ipv4) second=(ipv4) none=<NA>") || !strings.Contains(got, "Events detected: 1\n") {
		t.Errorf("%s", got)
	}
}

// A port in use does not matter to a replay, which has no web server.
func TestReplayHasNoWebserver(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	if got := replayed(t, capturedStory(t), "webserver.enabled=true", "webserver.listen_port="+port); !strings.Contains(got, "Events detected: 9") {
		t.Errorf("%s", got)
	}
}

// Pretended losses are seen once in a second of the capture's time.
func TestReplaySimulatesDrops(t *testing.T) {
	path := written(t, func(w *capture.Writer) {
		w.Processes(onlyInit)
		for i := range uint64(25) { // 2.4 seconds
			w.Event(1_700_000_000_000_000_000+i*100_000_000, 1, 0, event.KindChdir, capture.Num(0), capture.Text("/"))
		}
	})
	got := replayed(t, path, "syscall_event_drops.simulate_drops=true", "syscall_event_drops.rate=100", "syscall_event_drops.max_burst=100")
	if n := strings.Count(got, "Falco internal: syscall event drop. 1 system calls dropped"); n != 2 || !strings.Contains(got, "2023-11-14T22:13:21.000000000") {
		t.Errorf("%d alerts, want 2 in the capture's time:\n%s", n, got)
	}
}

// The default rules detect evasions of Falco's rules in captures as well,
// without firing for harmless look-alikes.
func TestReplayOfWaysAroundTheRules(t *testing.T) {
	num, text := capture.Num, capture.Text
	var file bytes.Buffer
	w := capture.NewWriter(&file, capture.Machine{CPUs: 1, MaxPID: 32768, Hostname: "box"})
	w.Users(map[uint32]string{0: "root"}, nil)
	w.Processes(capture.Process{TID: 1, PID: 1, SID: 1, VTID: 1, VPID: 1, Comm: "evil", Exe: "evil", ExePath: "/evil", CWD: "/", Root: "/"})
	now := uint64(1_700_000_000_000_000_000)
	ev := func(k event.Kind, values ...capture.Value) {
		now++
		w.Event(now, 1, 0, k, values...)
	}
	open := func(path string, flags, mode int64) { // /etc and the like are not written to here
		ev(event.KindOpenat, num(3), num(-100), text(path), num(flags), num(mode), num(8), num(9))
	}
	exec := func(comm, argv0, exepath, args string) {
		ev(event.KindExecve, num(0), text(argv0), text(args), num(1), num(1), num(0), text("/"), num(1024), num(0), num(0),
			num(0), num(0), num(0), text(comm), text("memory=/user\x00"), text(""), num(0), num(1), num(0), num(0),
			num(0), num(-1), num(-1), num(7), num(1), num(2), num(0), text(exepath), num(1), num(0), text(exepath))
	}
	const read, writeOnly, create, truncate = 1, 2, 4, 0x100
	const remount, bind, private = 1 << 5, 1 << 12, 1 << 18

	open("/tmp/x", writeOnly|create, 0o4755) // setuid
	open("/tmp/x", writeOnly|create, 0o755)
	open("/tmp/x", read, 0o4755) // no file is made
	ev(event.KindMknod, num(0), text("/tmp/y"), num(0o2755), num(0))
	ev(event.KindMknod, num(0), text("/tmp/y"), num(0o755), num(0))
	open("/etc/passwd", read|truncate, 0)
	open("/etc/passwd", read, 0)
	open("/tmp/passwd", read|truncate, 0)
	ev(event.KindRename, num(0), text("/tmp/x"), text("/etc/cron.d/x"))
	ev(event.KindRename, num(0), text("/tmp/x"), text("/root"))
	ev(event.KindRename, num(0), text("/tmp/x"), text("/tmp/y"))
	ev(event.KindRename, num(0), text("/tmp/x"), text("/root/x"))
	ev(event.KindRename, num(-13), text("/tmp/x"), text("/etc/cron.d/x"))
	ev(event.KindLinkat, num(0), num(-100), text("/proc/self/fd/3"), num(-100), text("/etc/ld.so.preload"), num(0))
	ev(event.KindLinkat, num(0), num(-100), text("/proc/self/fd/3"), num(-100), text("/tmp/y"), num(0))
	ev(event.KindMount, num(0), text("/tmp/x"), text("/etc/hosts"), text(""), num(bind))
	ev(event.KindMount, num(0), text("/tmp/x"), text("/etc/passwd"), text(""), num(bind|private)) // Linux binds
	ev(event.KindMount, num(0), text("/tmp/x"), text("/etc/passwd"), text(""), num(2|bind|private))
	ev(event.KindMount, num(0), text("/tmp/x"), text("/root/.ssh"), text(""), num(bind))
	ev(event.KindMount, num(0), text("tmpfs"), text("/root/"), text("tmpfs"), num(0))
	ev(event.KindMount, num(0), text("/tmp/x"), text("/mnt"), text(""), num(bind))
	ev(event.KindMount, num(0), text("/tmp/x"), text("/root/x"), text(""), num(bind))
	ev(event.KindMount, num(-1), text("/tmp/x"), text("/etc/passwd"), text(""), num(bind))
	for propagation := 1 << 17; propagation <= 1<<20; propagation <<= 1 {
		ev(event.KindMount, num(0), text(""), text("/etc"), text(""), num(int64(propagation)))
	}
	ev(event.KindMount, num(0), text(""), text("/etc"), text(""), num(remount|bind))
	ev(event.KindMount, num(0), text("overlay"), text("/etc"), text("overlay"), num(0))
	ev(event.KindIoUringSetup, num(3), num(8), num(8), num(16), num(0), num(0), num(0), num(0))
	ev(event.KindIoUringSetup, num(-22), num(8), num(8), num(16), num(0), num(0), num(0), num(0))
	exec("sshd", "./sshd", "/usr/bin/bash", "")
	exec("sshd", "/usr/sbin/sshd", "/usr/sbin/sshd", "")
	exec("apt", "/usr/bin/python3", "/usr/bin/python3.11", "/usr/bin/apt\x00") // a script
	exec("x", "cat", "/dev/shm/x", "")
	exec("curl", "curl", "/usr/bin/curl", strings.Repeat(strings.Repeat("a", 99)+"\x00", 41))
	exec("curl", "curl", "/usr/bin/curl", strings.Repeat("a", 99)+"\x00")
	if err := w.Err(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "evasions.scap")
	write(t, path, file.String())
	_, got, _ := strings.Cut(replayed(t, path), "Triggered rules by rule name:\n")
	want := `   Command Line Longer Than Recorded: 1
   Execution from /dev/shm: 1
   Mount over System Configuration: 6
   Program Under a Trusted Name: 1
   Set Setuid or Setgid bit: 2
   System Configuration Replaced: 3
   System File Emptied While Opened for Reading: 1
   Unexpected io_uring Setup: 1
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
