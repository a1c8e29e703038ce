package sensor

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
	"github.com/peregrine-sec/peregrine/test/support/needs"
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
	case "mixed": // and calls of other kinds
		for range n {
			mixedOnce()
		}
	case "connections": // to itself
		return connections(n)
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
	case "beside": // makes calls from now on, as many as a slow reader can take
		go func() {
			runtime.LockOSThread()
			for i := 1; ; i++ {
				if dupOnce(); i%20 == 0 {
					time.Sleep(time.Millisecond) // the pace of the load
				}
			}
		}()
	case "wait": // until the test says so
		_, err := os.Stdout.WriteString(".")
		_, ended := os.Stdin.Read(make([]byte, 1))
		return errors.Join(err, ended)
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

// mixedOnce makes calls of several kinds, which fail but for one.
func mixedOnce() {
	dupOnce()
	path := []byte("/nowhere\x00")
	unix.RawSyscall(unix.SYS_OPENAT, ^uintptr(99), uintptr(unsafe.Pointer(&path[0])), 0)
	unix.RawSyscall(unix.SYS_FCHMOD, ^uintptr(0), 0, 0)
	unix.RawSyscall(unix.SYS_CONNECT, ^uintptr(0), 0, 0)
	if fd, _, errno := unix.RawSyscall(unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_STREAM, 0); errno == 0 {
		unix.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
	}
}

// connections makes connections to itself, each by socket, connect and accept.
func connections(n int) error {
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(listener)
	if err := errors.Join(unix.Bind(listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(listener, 8)); err != nil {
		return err
	}
	address, err := unix.Getsockname(listener)
	if err != nil {
		return err
	}
	for range n {
		client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		err = unix.Connect(client, address)
		if err == nil {
			var server int
			if server, _, err = unix.Accept(listener); err == nil {
				unix.Close(server)
			}
		}
		unix.Close(client)
		if err != nil {
			return err
		}
	}
	return nil
}

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

// take takes the steps in a process of that name, and returns its id. At a step
// "wait" the process waits until ready is true.
func take(t *testing.T, ready func(pid, step int) bool, name string, args ...string) int {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", append([]string{actArg, "steps"}, args...)...)
	cmd.Args[0] = name
	var trouble strings.Builder
	cmd.Stderr = &trouble
	in, err := cmd.StdinPipe()
	out, failed := cmd.StdoutPipe()
	if err := errors.Join(err, failed, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	for i, arg := range args {
		if arg != "wait:" {
			continue
		}
		if _, err := out.Read(make([]byte, 1)); err != nil { // it is there
			t.Error(err)
		}
		if !needs.Within(needs.Patience, func() bool { return ready(cmd.Process.Pid, i) }) {
			t.Errorf("%s: waited in vain at step %d of %v", name, i, args)
		}
		if _, err := in.Write([]byte{0}); err != nil {
			t.Error(err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, trouble.String())
	}
	return cmd.Process.Pid
}

// masked says whether each image until that step of the process has a mask.
func masked(w *watcher, args []string) func(pid, step int) bool {
	return func(pid, step int) bool {
		images := 0
		for _, arg := range args[:step+1] {
			if arg == "wait:" {
				images++
			}
		}
		return w.images(pid) >= images
	}
}

func loadRules(t *testing.T, text string) []*rules.Rule {
	t.Helper()
	set, report := rules.Load([]rules.Source{{Name: "masks.yaml", Content: []byte(text)}}, RuleOptions())
	if set == nil {
		t.Fatalf("%v\n%s", report.Err(), text)
	}
	return set.Rules
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
	list := loadRules(t, attackRules)
	on, off := watch(t, list, true), watch(t, list, false)
	for name, args := range attacks(t) {
		t.Run(name, func(t *testing.T) {
			on.use(list)
			off.use(list)
			pid := take(t, masked(on, args), name, args...)
			events, alerts := on.saw(pid)
			all, want := off.saw(pid)
			if d := gocmp.Diff(want, alerts); d != "" {
				t.Errorf("alerts of all rules, and with masks (-all +masks):\n%s", d)
			}
			if len(want) == 0 && name != "name" { // of the exec, whatever it calls itself
				t.Error("no alert")
			}
			if slices.Contains(args, unneeded) && events["dup"] > all["dup"]-1000 {
				t.Errorf("%d of %d events were sent", events["dup"], all["dup"])
			}
		})
	}
}

// unneeded are calls that the mask leaves out.
const unneeded = "calls:1001"

func attacks(t *testing.T) map[string][]string {
	attack := func(steps ...string) []string { return append([]string{"calls:1000", "wait:", unneeded}, steps...) }
	group := containerGroup(t)
	return map[string][]string{
		"user":             attack("user:12345", "calls:1"),
		"users":            attack("users:2000"),
		"group":            attack("group:12345", "calls:1"),
		"user in a thread": append([]string{"beside:"}, attack("thread:user:12345,calls:3", "calls:3")...),
		"name":             attack("name:renamed", "calls:1"),
		"exec":             attack("exec:after", "calls:1", "exec:before", "calls:1000", "wait:", "exec:after", "calls:2"),
		"exec in threads":  append([]string{"beside:"}, attack("exec:after", "calls:3")...),
		"exec by a thread": attack("thread:exec:after,calls:3"),
		// Their rules count as possible at any time.
		"session": {"calls:1000", "session:", "calls:1"},
		"caps":    {"calls:1000", fmt.Sprint("unshare:", unix.CLONE_NEWNS), "user:12345", "calls:1"},
		"groups":  {"calls:1000", "groups:" + group, "calls:1"},
	}
}

var (
	stepsSeed  = flag.Uint64("steps-seed", 0, "of TestProcessMasksOnAndOff; 0: another each time")
	stepRounds = flag.Int("steps-rounds", 20, "sets of rules that TestProcessMasksOnAndOff tries")
	raceCalls  = flag.Int("race-calls", 20_000, "calls right after a change that TestManyMaskRaces makes")
)

// Random rules about processes have the same alerts of processes that change
// whether the kernel has masks for them or not.
func TestProcessMasksOnAndOff(t *testing.T) {
	seed := cmp.Or(*stepsSeed, rand.Uint64())
	t.Logf("-steps-seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	first := processRules(t, r)
	on, off := watchBoth(t, first)
	var sent, seen, alerted, masked int
	for range *stepRounds {
		list, args := processRules(t, r), randomSteps(r)
		on.use(list)
		off.use(list)
		ready := func(pid, step int) bool { // to go on: with a mask, or all has been looked at
			return on.images(pid) > 0 || on.count("dup") >= 300
		}
		pid := take(t, ready, "before", args...)
		events, alerts := on.saw(pid)
		all, want := off.saw(pid)
		if incomplete(t, on, off) {
			continue
		}
		if d := gocmp.Diff(want, alerts); d != "" {
			for _, rule := range list {
				t.Log(rule.Condition)
			}
			t.Fatalf("%v: alerts without masks (-) and with (+):\n%s", args, d)
		}
		sent, seen, alerted, masked = sent+sum(events), seen+sum(all), alerted+sum(want), masked+on.images(pid)
	}
	t.Logf("%d of %d events delivered, %d alerts, %d masks", sent, seen, alerted, masked)
	if sent >= seen || alerted == 0 || masked == 0 {
		t.Errorf("%d of %d events delivered, %d alerts, %d masks: tells little", sent, seen, alerted, masked)
	}
}

// processRules are rules about processes, and one that has all calls sent.
func processRules(t *testing.T, r *rand.Rand) []*rules.Rule {
	var b strings.Builder
	fmt.Fprintln(&b, "- {rule: all, desc: d, output: o, priority: INFO, condition: 'evt.type in (dup, openat, fchmod, connect, socket) and proc.exe=nobody'}")
	for i := range 2 {
		kinds := []string{"dup", "openat", "fchmod, dup", "connect, socket", "socket", "dup, openat, fchmod, connect, socket"}
		fmt.Fprintf(&b, "- {rule: r%d, desc: d, priority: INFO, output: '%%evt.type %%evt.rawres %%proc.exe %%user.uid', condition: 'evt.type in (%s) and %s'}\n",
			i, kinds[r.IntN(len(kinds))], processCondition(r, 2))
	}
	return loadRules(t, b.String())
}

var processChecks = []string{
	"proc.exe=before", "proc.exe=after", "proc.exe in (after, nobody)", "proc.args contains wait", "proc.cmdline contains after", "proc.name exists",
	"proc.name startswith renamed", "user.uid=0", "user.uid=12345", "user.uid!=0", "group.gid>0", "user.loginuid=-1", "proc.tty=0", "proc.pid>1",
	"user.name=root", "proc.pname exists", "proc.pexe=after", "proc.is_sid_leader=true", "container.id=host", "container.id!=host",
	"thread.cap_effective contains CAP_SYS_ADMIN", "evt.failed=true", "fd.num>=0", "proc.exe=nobody", "proc.is_exe_writable=true",
}

func processCondition(r *rand.Rand, depth int) string {
	if depth > 0 {
		switch r.IntN(5) {
		case 0, 1:
			return "(" + processCondition(r, depth-1) + " and " + processCondition(r, depth-1) + ")"
		case 2:
			return "(" + processCondition(r, depth-1) + " or " + processCondition(r, depth-1) + ")"
		case 3:
			return "not " + processCondition(r, depth-1)
		}
	}
	return processChecks[r.IntN(len(processChecks))]
}

// randomSteps make a process busy, then change it again and again.
func randomSteps(r *rand.Rand) []string {
	args := []string{"mixed:300", "wait:", "mixed:50"}
	for range 3 + r.IntN(6) {
		changes := []string{
			"user:12345", "user:0", "group:12345", "group:0", "name:renamed", "exec:after", "exec:before",
			"thread:user:12345,mixed:3,user:0,mixed:3", "thread:group:12345,mixed:3", fmt.Sprint("unshare:", unix.CLONE_NEWNS), "users:5",
		}
		change := changes[r.IntN(len(changes))]
		if change == "user:12345" { // and back again: not every user may do the rest
			args = append(args, change, "mixed:3", "user:0")
			continue
		}
		args = append(args, change, fmt.Sprint("mixed:", 1+r.IntN(400)))
	}
	return args
}

// A thread calls as another user and as root in turn; each call as the other
// user gives an alert, though root's are masked.
func TestManyMaskRaces(t *testing.T) {
	list := loadRules(t, attackRules)
	on := watch(t, list, true)
	masked := 0
	for done := 0; done < *raceCalls; {
		on.use(list)
		const each = 5000 // the ring has room for
		args := []string{"calls:1000", "wait:", fmt.Sprint("users:", each)}
		pid := take(t, func(pid, _ int) bool { return on.images(pid) > 0 }, "before", args...)
		events, alerts := on.saw(pid)
		if n := sum(alerts); n != each {
			t.Fatalf("%d alerts of %d calls as another user: %v", n, each, alerts)
		}
		done += each
		masked += 2*each + 1000 - events["dup"]
	}
	t.Logf("%d calls of root's were masked", masked)
	if masked < *raceCalls*9/10 {
		t.Errorf("only %d calls were masked: the masks were not in force", masked)
	}
}

// Other rules come into force while a process has a mask: the first call after
// that is judged by them.
func TestProcessMaskOfOtherRules(t *testing.T) {
	about := func(name string) []*rules.Rule {
		return loadRules(t, fmt.Sprintf("- {rule: r, desc: d, output: o, priority: INFO, condition: evt.type=dup and proc.exe=%s}", name))
	}
	on := watch(t, about("nobody"), true)
	args := []string{"calls:1000", "wait:", unneeded, "wait:", "calls:10"}
	pid := take(t, func(pid, step int) bool {
		if step == 1 {
			return on.images(pid) > 0
		}
		on.exchange(about("busy"), func() {})
		return true
	}, "busy", args...)
	events, alerts := on.saw(pid)
	if n := sum(alerts); n != 10 {
		t.Errorf("%d alerts of 10 calls: %v", n, alerts)
	}
	if events["dup"] > 1010 {
		t.Errorf("%d calls were sent: there was no mask", events["dup"])
	}
}

// The calls of a process that no rule is about are not sent any more, though
// only its command line tells.
func TestProcessMaskPays(t *testing.T) {
	list := loadRules(t, `- {rule: r, desc: d, output: o, priority: INFO, condition: 'evt.type in (socket, connect, accept, accept4) and proc.cmdline contains secret'}`)
	on, off := watch(t, list, true), watch(t, list, false)
	args := []string{"connections:200", "wait:", "connections:2000"}
	pid := take(t, masked(on, args), "server", args...)
	events, _ := on.saw(pid)
	all, _ := off.saw(pid)
	sent, seen := 0, 0
	for _, name := range []string{"socket", "connect", "accept", "accept4"} {
		sent, seen = sent+events[name], seen+all[name]
	}
	t.Logf("%d of %d calls sent", sent, seen)
	if seen < 6600 || sent > 650 {
		t.Errorf("%d of %d calls sent", sent, seen)
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
