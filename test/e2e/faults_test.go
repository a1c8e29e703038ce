package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// A fault at start ends the sensor at once, with exit code 1 and one line that
// says what to do.
func TestFaultsAtStart(t *testing.T) {
	requireBPF(t)
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // the user nobody must reach the files
		t.Fatal(err)
	}
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		write(t, path, text)
		return path
	}
	const rule = "- rule: R\n  desc: d\n  condition: evt.type=open\n  output: o\n  priority: INFO\n"
	good := file("good.yaml", rule)
	without := func(capabilities ...string) []string {
		dropped := "-" + strings.Join(capabilities, ",-")
		return []string{"setpriv", "--bounding-set", dropped, "--inh-caps", dropped}
	}
	for _, c := range []struct {
		name string
		via  []string // a command in front
		uid  uint32
		args []string
		want []string // in the error
	}{
		{name: "nobody", uid: 65534, args: []string{"-r", good}, want: []string{"CAP_BPF", "run as root"}},
		{name: "no CAP_BPF", via: without("bpf", "sys_admin"), args: []string{"-r", good}, want: []string{"CAP_BPF is missing", "run as root"}},
		{name: "no CAP_PERFMON", via: without("perfmon", "sys_admin"), args: []string{"-r", good}, want: []string{"CAP_PERFMON is missing", "run as root"}},
		{name: "no rules file", args: []string{"-r", filepath.Join(dir, "none.yaml")}, want: []string{"none.yaml", "correct"}},
		{name: "rules that are no YAML", args: []string{"-r", file("broken.yaml", "- rule: [\n")}, want: []string{"broken.yaml:"}},
		{name: "rule without condition", args: []string{"-r", file("part.yaml", "- rule: R\n  desc: d\n  output: o\n  priority: INFO\n")}, want: []string{"part.yaml:1:", "condition"}},
		{name: "unknown field", args: []string{"-r", file("field.yaml", strings.Replace(rule, "evt.type=open", "evt.tipe=open", 1))}, want: []string{"field.yaml:3:", "evt.tipe"}},
		{name: "no configuration", args: []string{"-c", filepath.Join(dir, "none.conf")}, want: []string{"none.conf", "no such file", "leave out -c"}},
		{name: "configuration that is no YAML", args: []string{"-c", file("falco.yaml", "rules_files: {\n")}, want: []string{"falco.yaml:1:"}},
		{name: "configuration with a wrong type", args: []string{"-c", file("type.yaml", "json_output: perhaps\n")}, want: []string{"type.yaml:1:14", "true or false"}},
		{name: "unknown flag", args: []string{"--colour"}, want: []string{"unknown flag: --colour"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.via != nil {
				needs.Programs(t, c.via[0])
			}
			line := append(append([]string{}, c.via...), binary, "sensor", "-M", "60", "-o", "peregrine.status_socket=")
			line = append(line, c.args...)
			cmd := exec.Command(line[0], line[1:]...)
			if c.uid != 0 {
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: c.uid, Gid: c.uid}}
			}
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			var exit *exec.ExitError
			if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("ended with %v, want exit code 1", err)
			}
			var said []string
			for line := range strings.Lines(stderr.String()) {
				if strings.HasPrefix(line, "Error: ") {
					said = append(said, strings.TrimSpace(line))
				}
			}
			if len(said) != 1 || stdout.Len() > 0 {
				t.Fatalf("%d lines of errors\nstdout: %s\nstderr: %s", len(said), &stdout, &stderr)
			}
			for _, want := range c.want {
				if !strings.Contains(said[0], want) {
					t.Errorf("%q is not in: %s", want, said[0])
				}
			}
		})
	}
}

// However the sensor ends, nothing of it stays in the kernel.
func TestNothingStaysAttached(t *testing.T) {
	requireBPF(t)
	for _, c := range []struct {
		signal syscall.Signal
		clean  bool
	}{{syscall.SIGTERM, true}, {syscall.SIGINT, true}, {syscall.SIGKILL, false}} {
		t.Run(c.signal.String(), func(t *testing.T) {
			s := startSensor(t)
			held := kernelObjects(t, s.cmd.Process.Pid)
			if len(held.programs) == 0 || len(held.links) == 0 || len(held.maps) == 0 {
				t.Fatalf("a running sensor holds %+v", held)
			}
			state := s.stop(c.signal)
			if c.clean && (!state.Exited() || state.ExitCode() != 0) {
				t.Errorf("ended with %v\n%s", state, s.stderr)
			}
			// The kernel frees them after a grace period.
			var left []string
			defer func() {
				if len(left) > 0 {
					t.Error("left in the kernel:", left)
				}
			}()
			needs.Eventually(t, "kernel without our programs", func() bool {
				left = held.left(t)
				return len(left) == 0
			})
		})
	}
}

// objects are ids of the kernel objects that a process holds.
type objects struct {
	programs []ebpf.ProgramID
	maps     []ebpf.MapID
	links    []link.ID
}

// kernelObjects reads the ids from /proc/PID/fdinfo.
func kernelObjects(t *testing.T, pid int) (held objects) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // closed meanwhile
		}
		isLink := bytes.Contains(text, []byte("link_id:"))
		for line := range strings.Lines(string(text)) {
			var id uint32
			key, value, _ := strings.Cut(line, ":")
			if _, err := fmt.Sscan(value, &id); err != nil {
				continue
			}
			switch {
			case key == "link_id":
				held.links = append(held.links, link.ID(id))
			case key == "prog_id" && !isLink:
				held.programs = append(held.programs, ebpf.ProgramID(id))
			case key == "map_id":
				held.maps = append(held.maps, ebpf.MapID(id))
			}
		}
	}
	return held
}

// left describes those of them that the kernel still knows. Ids are given in a
// circle, so that they do not come back soon. Maps and programs are not opened
// to see whether they are there: an array of programs whose last descriptor is
// closed twice while the kernel empties it is never freed
// (prog_array_map_clear in kernel/bpf/arraymap.c counts a reference for work
// that is queued once).
func (o objects) left(t *testing.T) (left []string) {
	t.Helper()
	for _, id := range o.links {
		switch l, err := link.NewFromID(id); {
		case err == nil:
			left = append(left, fmt.Sprint("link ", id))
			l.Close()
		case !errors.Is(err, os.ErrNotExist):
			t.Fatalf("link %d: %v", id, err)
		}
	}
	for _, id := range o.programs {
		if next, err := ebpf.ProgramGetNextID(id - 1); err == nil && next == id {
			left = append(left, fmt.Sprint("program ", id))
		}
	}
	for _, id := range o.maps {
		if next, err := ebpf.MapGetNextID(id - 1); err == nil && next == id {
			left = append(left, fmt.Sprint("map ", id))
		}
	}
	return left
}
