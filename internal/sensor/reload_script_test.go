package sensor

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/test/support/script"
)

var update = flag.Bool("update", false, "write golden files anew")

// The scripts of testdata/reload run a sensor whose files change.
//
//	start   with the files of the input, each after a line "== NAME"; DIR in
//	        them is their directory
//	reload  after changes of files; "== NAME gone" removes one
//	events  lines "exec PROGRAM" and "open PATH", all of one process
//
// The output has the result of a reload, and the alerts in the order in which
// they come.
func TestReloadScripts(t *testing.T) {
	script.Run(t, *update, "testdata/reload/*.txt", func(t *testing.T) func(*testing.T, script.Block) string {
		r := &reloaded{dir: t.TempDir()}
		return func(t *testing.T, b script.Block) string {
			switch b.Command {
			case "start":
				r.write(t, b.Input)
				r.start(t)
				return fmt.Sprintf("%d rules", len(r.s.now().rules.Plan.Rules))
			case "reload":
				r.write(t, b.Input)
				failed := r.s.reloads.failed
				if r.s.reload(t.Context()) {
					return fmt.Sprintf("%d rules", len(r.s.now().rules.Plan.Rules))
				}
				return strings.Join(r.alerts(t, int(r.s.reloads.failed-failed)), "\n")
			case "events":
				return strings.Join(r.alerts(t, r.handle(t, b.Input)), "\n")
			}
			t.Fatalf("line %d: no command %q", b.Line, b.Command)
			return ""
		}
	})
}

// reloaded is a sensor that gets its events from the test.
type reloaded struct {
	dir  string
	s    *sensor
	out  *bufio.Reader
	b    event.Builder
	time uint64
}

func (r *reloaded) write(t *testing.T, input string) {
	t.Helper()
	name, text := "", ""
	flush := func() {
		path := filepath.Join(r.dir, name)
		switch of, gone := strings.CutSuffix(path, " gone"); {
		case name == "":
		case gone:
			if err := os.Remove(of); err != nil {
				t.Fatal(err)
			}
		default:
			write(t, path, strings.ReplaceAll(text, "DIR", r.dir))
		}
	}
	for line := range strings.Lines(input) {
		if next, ok := strings.CutPrefix(line, "== "); ok {
			flush()
			name, text = strings.TrimSpace(next), ""
			continue
		}
		text += line
	}
	flush()
}

func (r *reloaded) start(t *testing.T) {
	t.Helper()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); out.Close() })
	r.out = bufio.NewReader(in)
	load := func() (*config.Config, error) {
		return config.Load(config.Options{Path: filepath.Join(r.dir, "config.yaml"), Overrides: []string{
			"engine.kind=nodriver", "peregrine.status_socket=", "json_output=true", "append_output=[]",
		}})
	}
	r.s, err = newSensor(Options{LoadConfig: load, Stdout: out, Stderr: &watched{}, Getenv: func(string) string { return "" }})
	if err == nil {
		err = r.s.open()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.s.recorder.Close(r.s.recorder.stop)
		r.s.logOut.close(sayTimeout)
	})
	t.Cleanup(drive(t, r.s))
}

// handle passes events to the engine, and returns how many alerts they give.
func (r *reloaded) handle(t *testing.T, input string) (alerts int) {
	t.Helper()
	var events [][]byte
	for line := range strings.Lines(input) {
		what, of, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch what {
		case "exec":
			events = append(events, r.exec(of))
		case "open":
			events = append(events, r.open(of))
		default:
			t.Fatalf("no event %q", line)
		}
	}
	if err := r.s.engine.Do(t.Context(), func() {
		before := r.s.engine.Counters().Alerts
		for _, ev := range events {
			r.s.engine.Handle(ev)
		}
		alerts = int(r.s.engine.Counters().Alerts - before)
	}); err != nil {
		t.Fatal(err)
	}
	return alerts
}

func (r *reloaded) header(call string) event.Header {
	const pid = 1 << 22 // above all pids of this machine
	r.time += 1000
	id, _ := event.SyscallByName(call)
	return event.Header{Time: r.time, TID: pid, PID: pid, PPID: 1, LoginUID: 0xffffffff, Syscall: uint16(id), Start: 1, VTID: pid}
}

func (r *reloaded) exec(program string) []byte {
	slot := event.KindExecve.Info().Slot
	r.b.Start(event.KindExecve, r.header("execve"))
	r.b.Str(slot("exe"), program)
	r.b.Str(slot("comm"), program)
	r.b.Str(slot("trusted_exepath"), "/bin/"+program)
	r.b.Str(slot("cgroups"), "cpu=/\x00")
	return slices.Clone(r.b.Finish())
}

func (r *reloaded) open(path string) []byte {
	slot := event.KindOpenat.Info().Slot
	h := r.header("openat")
	h.Res = 3
	r.b.Start(event.KindOpenat, h)
	r.b.Int(slot("fd"), 3)
	r.b.Int(slot("dirfd"), -100)
	r.b.Str(slot("name"), path)
	r.b.Uint(slot("flags"), 1)
	r.b.File(slot("file"), event.FileInfo{Type: event.FDFile, Ino: 7, Dev: 1}, []byte(path))
	return slices.Clone(r.b.Finish())
}

// alerts reads n alerts from standard output.
func (r *reloaded) alerts(t *testing.T, n int) (lines []string) {
	t.Helper()
	for range n {
		text, err := r.out.ReadBytes('\n')
		var a alertLine
		if err == nil {
			err = json.Unmarshal(text, &a)
		}
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		// The time differs from run to run.
		_, output, _ := strings.Cut(a.Output, ": ")
		lines = append(lines, strings.ReplaceAll(output, r.dir, "DIR"))
	}
	return lines
}
