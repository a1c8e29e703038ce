package state_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/linux/cgroup"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/probe"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// A process is in its container from its first event there, however it came:
// moved by another in a hierarchy of either version, or born there. It shows a
// row of docs/compatibility.md.
func TestMovedIntoContainer(t *testing.T) {
	l := follow(t)
	chdir, _ := event.SyscallByName("chdir")
	if err := l.probe.SetInterest(probe.Interest{Syscalls: []event.ID{chdir}}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for i, tree := range hierarchies(t) {
		for _, way := range []string{"moved", "born"} {
			t.Run(fmt.Sprintf("%s in version %d", way, tree.Version), func(t *testing.T) {
				if way == "born" && tree.Version != 2 {
					t.Skip("CLONE_INTO_CGROUP is for version 2")
				}
				id := fmt.Sprintf("%063x%x", os.Getpid(), i)
				group := filepath.Join(tree.Dir, "docker-"+id+".scope")
				if err := os.Mkdir(group, 0o755); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = cgroup.Remove(group) })
				var pid int32
				if way == "born" {
					pid = bornIn(t, group, dir)
				} else {
					pid = movedInto(t, group, dir)
				}
				checkContainer(t, l, pid, dir, id[:12])
			})
		}
	}
}

// checkContainer looks at the events of the process pid from its chdir to dir
// on, until its exit.
func checkContainer(t *testing.T, l *live, pid int32, dir, container string) {
	t.Helper()
	there := 0
	l.consume(func(v *event.View, p *state.Process) bool {
		if p.PID != pid {
			return true
		}
		if v.Kind() == event.KindChdir || there > 0 {
			there++
			if p.Container.ID != container {
				t.Errorf("%v happened in container %s, not %s", v.Kind(), p.Container.ID, container)
			}
		}
		return v.Kind() != event.KindProcexit
	})
	if there < 2 {
		t.Errorf("%d events in the container", there)
	}
}

// movedInto starts a shell, moves it, and lets it do something.
func movedInto(t *testing.T, group, dir string) int32 {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", "echo ready; read line; cd "+dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := cgroup.Move(group, cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "go\n"); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return int32(cmd.Process.Pid)
}

// bornIn starts a process in the group, which changes its directory before it
// becomes a program.
func bornIn(t *testing.T, group, dir string) int32 {
	t.Helper()
	fd, err := unix.Open(group, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	cmd := exec.Command("/bin/true")
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return int32(cmd.Process.Pid)
}

// hierarchies are mounted ones that the probe sends: that of version 2, and
// that of the memory controller in version 1.
func hierarchies(t *testing.T) []cgroup.Tree {
	t.Helper()
	trees, err := cgroup.Trees("")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(trees, func(tree cgroup.Tree) bool { return tree.Version != 2 && !tree.Has("memory") })
}
