package sensor

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/needs"
)

func init() { acts["steps"] = steps }

// steps are what a process of the tests does, one after the other: it makes
// calls that its rules look at, and changes in between.
func steps(args []string) error {
	runtime.LockOSThread()
	for i, arg := range args {
		what, value, _ := strings.Cut(arg, ":")
		if what == "exec" { // under another name, with the other steps
			return unix.Exec("/proc/self/exe", append([]string{value, actArg, "steps"}, args[i+1:]...), os.Environ())
		}
		if err := step(what, value); err != nil {
			return fmt.Errorf("%s: %w", arg, err)
		}
	}
	return nil
}

func step(what, value string) error {
	n, _ := strconv.Atoi(value)
	switch what {
	case "calls":
		for range n {
			dupOnce()
		}
	case "user":
		return only(unix.SYS_SETRESUID, -1, n, -1)
	case "group":
		return only(unix.SYS_SETRESGID, -1, n, -1)
	case "name":
		text := append([]byte(value), 0)
		return only(unix.SYS_PRCTL, unix.PR_SET_NAME, int(uintptr(unsafe.Pointer(&text[0]))))
	case "session":
		return only(unix.SYS_SETSID)
	case "unshare":
		return only(unix.SYS_UNSHARE, n)
	case "groups":
		return os.WriteFile(filepath.Join(value, "cgroup.procs"), []byte("0"), 0)
	case "thread": // does the steps that follow, separated by commas
		return inThread(strings.Split(value, ","))
	case "beside": // makes calls from now on
		go func() {
			runtime.LockOSThread()
			for {
				dupOnce()
			}
		}()
	case "masked": // waits until the test says so
		if _, err := os.Stdin.Read(make([]byte, 1)); err != nil {
			return err
		}
	case "users": // changes and calls, many times
		for range n {
			if err := alternate(); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("no such step")
	}
	return nil
}

// alternate calls as another user, and as the user before again.
func alternate() error {
	if err := only(unix.SYS_SETRESUID, -1, 12345, -1); err != nil {
		return err
	}
	dupOnce()
	if err := only(unix.SYS_SETRESUID, -1, 0, -1); err != nil {
		return err
	}
	dupOnce()
	return nil
}

func inThread(args []string) error {
	done := make(chan error)
	go func() { // the thread ends with it
		done <- steps(args)
	}()
	return <-done
}

// dupOnce is a call of which the process table learns nothing. It fails, so that
// nothing has to be closed.
func dupOnce() { unix.RawSyscall(unix.SYS_DUP, ^uintptr(0), 0, 0) }

// only makes a call that changes nothing but this thread.
func only(nr uintptr, args ...int) error {
	var a [3]uintptr
	for i, arg := range args {
		a[i] = uintptr(arg)
	}
	if _, _, errno := unix.RawSyscall(nr, a[0], a[1], a[2]); errno != 0 {
		return errno
	}
	return nil
}

// take takes the steps in a process of that name, and returns its id. Before it
// goes on from a step "masked", the probes of all witnesses have a mask for it.
func take(t *testing.T, witnesses []*witness, name string, args ...string) int {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", append([]string{actArg, "steps"}, args...)...)
	cmd.Args[0] = name
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	images := 0
	for _, arg := range args {
		if arg != "masked:" {
			continue
		}
		images++
		for _, w := range witnesses {
			if w.how.masks && !needs.Within(needs.Patience, func() bool { return w.masked(cmd.Process.Pid) >= images }) {
				t.Errorf("%s: no mask for image %d of the process", name, images)
			}
		}
		if _, err := in.Write([]byte{0}); err != nil {
			t.Error(err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out.String())
	}
	return cmd.Process.Pid
}

// attackRules look at calls by what a process changes just before. Those about
// what is no process's own are for some processes alone, so that the others can
// have masks.
const attackRules = `
- {rule: user, desc: d, priority: INFO, condition: 'evt.type=dup and user.uid=12345', output: "%proc.pid %thread.tid user"}
- {rule: group, desc: d, priority: INFO, condition: 'evt.type=dup and group.gid=12345', output: "%proc.pid %thread.tid group"}
- {rule: exec, desc: d, priority: INFO, condition: 'evt.type=dup and proc.exe=after', output: "%proc.pid exec"}
- {rule: name, desc: d, priority: INFO, condition: 'evt.type=dup and proc.name startswith renamed', output: "%proc.pid name"}
- {rule: session, desc: d, priority: INFO, condition: 'evt.type=dup and proc.is_sid_leader=true and proc.exe=session', output: "%proc.pid session"}
- {rule: caps, desc: d, priority: INFO, condition: 'evt.type=dup and not thread.cap_effective contains CAP_SYS_ADMIN and proc.exe=caps', output: "%proc.pid caps"}
- {rule: container, desc: d, priority: INFO, condition: 'evt.type=dup and container.id != host and proc.exe=groups', output: "%proc.pid %container.id"}
`

// Whatever a process changes just before a call, in this or another thread: the
// alerts are those of the evaluation of all events by all rules.
func TestProcessMaskRaces(t *testing.T) {
	witnesses := []*witness{newWitness(t, attackRules, judging{masks: true}), newWitness(t, attackRules, judging{evaluate: true})}
	pids := map[string]int{}
	list := attacks(t)
	for name, steps := range list {
		pids[name] = take(t, witnesses, name, steps...)
	}
	masked, full := witnesses[0], witnesses[1]
	masked.stop()
	full.stop()
	for name, pid := range pids {
		want := full.of(pid)
		if d := cmp.Diff(want, masked.of(pid)); d != "" {
			t.Errorf("%s: alerts of all rules, and with masks (-all +masks):\n%s", name, d)
		}
		if len(want) == 0 && name != "name" { // of the exec, whatever it calls itself
			t.Errorf("%s: no alert", name)
		}
		sent, all := masked.events[uint32(pid)], full.events[uint32(pid)]
		if slices.Contains(list[name], unneeded) && sent > all-1000 {
			t.Errorf("%s: %d of %d events were sent", name, sent, all)
		}
		t.Logf("%s: %v; events %d with masks, %d without", name, want, sent, all)
	}
}

// unneeded are calls that the mask leaves out.
const unneeded = "calls:1001"

func attacks(t *testing.T) map[string][]string {
	attack := func(steps ...string) []string { return append([]string{"calls:1000", "masked:", unneeded}, steps...) }
	group := containerGroup(t)
	return map[string][]string{
		"user":             attack("user:12345", "calls:1"),
		"users":            attack("users:2000"),
		"group":            attack("group:12345", "calls:1"),
		"user in a thread": append([]string{"beside:"}, attack("thread:user:12345,calls:3", "calls:3")...),
		"name":             attack("name:renamed", "calls:1"),
		"exec":             attack("exec:after", "calls:1", "exec:before", "calls:1000", "masked:", "exec:after", "calls:2"),
		"exec in threads":  append([]string{"beside:"}, attack("exec:after", "calls:3")...),
		// Their rules count as possible at any time.
		"session": {"calls:1000", "session:", "calls:1"},
		"caps":    {"calls:1000", fmt.Sprint("unshare:", unix.CLONE_NEWNS), "user:12345", "calls:1"},
		"groups":  {"calls:1000", "groups:" + group, "calls:1"},
	}
}

// containerGroup is a control group that looks like a container's.
func containerGroup(t *testing.T) string {
	t.Helper()
	root := "/sys/fs/cgroup"
	if _, err := os.Stat(filepath.Join(root, "unified")); err == nil {
		root = filepath.Join(root, "unified")
	}
	dir := filepath.Join(root, "docker-"+strings.Repeat("ab", 32)+".scope")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
