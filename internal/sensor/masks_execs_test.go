package sensor

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

var (
	treesSeed   = flag.Uint64("trees-seed", 0, "of TestProcessTrees; 0: another each time")
	treesRounds = flag.Int("trees-rounds", 60, "trees of processes that TestProcessTrees makes")
)

// trees makes scripts of the shell at random: trees of processes, some of which
// open files that rules look for.
type trees struct {
	*rand.Rand
	t       *testing.T
	dir     string
	orphans bool // some go on when their parent has ended
	files   int  // in dir, s0, s1 and so on: scripts
	fifos   int  // f0, f1 and so on
}

// file writes a script to a file of its own.
func (r *trees) file(script string) string {
	path := fmt.Sprint(r.dir, "/s", r.files)
	r.files++
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		r.t.Fatal(err)
	}
	return path
}

func (r *trees) fifo() string {
	path := fmt.Sprint(r.dir, "/f", r.fifos)
	r.fifos++
	if err := unix.Mkfifo(path, 0o600); err != nil && err != unix.EEXIST {
		r.t.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		r.t.Fatal(err)
	}
	return path
}

func (r *trees) pick(s ...string) string { return s[r.IntN(len(s))] }

func (r *trees) target() string { return r.pick("wanted", "wanted", "a/wanted", "b/wanted", "other") }

// command is a simple command.
func (r *trees) command() string {
	return r.pick(
		"/bin/true", "/bin/true", "/bin/true -x", "/bin/cat "+r.target(), "/bin/cat "+r.dir+"/"+r.target(),
		": < "+r.dir+"/"+r.target(), ": < "+r.dir+"/"+r.target(), "cd "+r.dir+"/"+r.pick("a", "b", "."), "X="+r.pick("1", "2")+"; export X",
		"./copy "+r.dir+"/"+r.target(), r.dir+"/copy -x", "umask 022", "/bin/echo word",
	)
}

// script is a sequence of commands, of at most so many levels.
func (r *trees) script(depth int) string {
	var parts []string
	n := 1 + r.IntN(3)
	if depth > 3 {
		n = 1 + r.IntN(5)/4
	}
	for range n {
		if depth == 0 || depth <= 3 && r.IntN(3) == 0 {
			parts = append(parts, r.command())
			continue
		}
		if depth > 3 || r.IntN(3) == 0 {
			parts = append(parts, r.held(depth-1))
			continue
		}
		s := r.script(depth - 1)
		if r.orphans {
			s = r.pick(s, "( "+s+" ) &", "( ( "+s+" ) & )", "setsid -f sh -c "+quoted(s))
		}
		parts = append(parts, r.pick(
			"( "+s+" )", "( "+s+" )",
			"sh -c "+quoted(s), "( exec sh -c "+quoted(s)+" )", "env X=3 sh -c "+quoted(s),
			"setsid sh -c "+quoted(s), "nice -n 1 sh -c "+quoted(s),
			"( exec setpriv --reuid 1 --clear-groups sh -c "+quoted(s)+" )", "/bin/echo | ( "+s+" )",
			"chroot / sh -c "+quoted("cd "+r.dir+"; "+s), "unshare -m sh -c "+quoted(s), "unshare -p -f sh -c "+quoted(s),
		))
	}
	return strings.ReplaceAll(strings.Join(parts, "; "), "& ;", "&")
}

// held is a script whose processes are short to describe, so that user space is
// not told of them for that.
func (r *trees) held(depth int) string {
	one, other := r.script(depth), ""
	if r.IntN(4) == 0 {
		other = r.script(depth / 2)
	}
	switch {
	case r.orphans && r.IntN(3) == 0:
		ready := r.fifo()
		return r.pick("( sh "+r.file(": > "+ready+"; "+one)+" & : < "+ready+" )", "( sh "+r.file(one)+" & )", "( ( "+one+" ) & exec sh "+r.file(other+"\nwait")+" )", "( sh "+r.file(one)+" & exec /bin/true )")
	case r.IntN(6) == 0: // the child knows its parent as it is after an exec
		begin, end := r.fifo(), r.fifo()
		return "( ( : < " + begin + "; ( " + one + " ); : > " + end + " ) & exec sh " + r.file(": > "+begin+"; ( :; "+other+" ); : < "+end) + " )"
	case other != "":
		return r.pick("( "+one+" ) & ( "+other+" ) & wait", "( "+one+" ) | ( "+other+" )", "sh "+r.file(one)+" & sh "+r.file(other)+" & wait")
	}
	return r.pick("sh "+r.file(one), r.file(one), "( exec "+r.file(one)+" )", "X=$( "+one+" )", "( "+one+" )", "/bin/true | ( "+one+" ) | /bin/cat")
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// What the process table knows of a process, and of others.
const (
	ownOutput      = "%evt.type %fd.name %proc.name %proc.cmdline %proc.exe %proc.exepath %proc.cwd %user.name %user.uid %proc.tty %proc.env[X] %proc.is_sid_leader %thread.cap_effective"
	ancestorOutput = " %proc.pname %proc.pcmdline %proc.aname[2] %proc.aname[3] %proc.acmdline[2] %proc.acmdline[3] %proc.acmdline[4] %proc.aname[5] %proc.aname[6] %proc.sname"
)

// Conditions on execs, of a process's own and of its ancestors.
var (
	ownConditions = []string{
		"proc.args contains -x", "proc.cwd endswith /a/", "proc.cwd endswith /b/ and proc.name = cat", "proc.env[X] = 2", "user.uid = 1",
		"proc.exepath endswith /copy", "proc.cmdline startswith \"copy -\"", "proc.env contains \"X=3\"", "proc.exe startswith ./", "proc.name in (echo, env)",
	}
	ancestorConditions = []string{
		"proc.name = true and proc.pname = sh", "proc.aname = nice", "proc.name = cat and not proc.aname = setsid", "proc.pname != sh",
	}
)

// openRule looks for files.
func openRule(output string) string {
	return fmt.Sprintf("- {rule: opens, desc: d, priority: INFO, condition: 'evt.type in (open, openat) and fd.name contains /wanted', output: %q}\n", output)
}

// treeRules look for files, and for some of the execs. When a parent ends, the two
// probes need not see an event of its child on the same side of that.
func treeRules(t *testing.T, r *trees) []*rules.Rule {
	output, conditions := ownOutput, ownConditions
	if !r.orphans {
		output, conditions = ownOutput+ancestorOutput, append(conditions, ancestorConditions...)
	}
	text := openRule(output)
	for i := range r.IntN(4) {
		text += fmt.Sprintf("- {rule: execs%d, desc: d, priority: INFO, condition: %q, output: %q}\n", i, "evt.type = execve and evt.rawres = 0 and "+conditions[r.IntN(len(conditions))], output)
	}
	return loadRules(t, text)
}

// treeDir has the files and programs of the trees.
func treeDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../copy", filepath.Join(dir, sub, "copy")); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, sub, "wanted"), "x")
	}
	write(t, filepath.Join(dir, "wanted"), "x")
	write(t, filepath.Join(dir, "other"), "x")
	cat, err := os.ReadFile("/bin/cat")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "copy"), cat, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// ended waits until the watcher has seen a process that does nothing but open a
// file, and returns what it saw until then.
func (w *watcher) ended() (events, alerts map[string]int) {
	w.t.Helper()
	needs.Eventually(w.t, "the last process is seen", func() (seen bool) {
		for len(w.ends) > 0 { // of use to other tests
			<-w.ends
		}
		err := w.engine.Do(w.t.Context(), func() {
			events, alerts = map[string]int{}, map[string]int{}
			for text, n := range w.alerts {
				if seen = seen || strings.Contains(text, "/wanted-end "); !strings.Contains(text, "/wanted-end ") {
					alerts[text] = n
				}
			}
			for name, n := range w.events {
				events[name] = n
			}
		})
		return err == nil && seen
	})
	w.nothingLost()
	return events, alerts
}

// What processes do has the same alerts, which tell the same of the processes and
// their ancestors, whether user space is told of each process or late.
func TestProcessTrees(t *testing.T) {
	for _, program := range []string{"setsid", "setpriv", "unshare", "chroot", "nice"} {
		needs.Program(t, program)
	}
	reap := adoptOrphans(t)
	seed := cmp.Or(*treesSeed, rand.Uint64())
	t.Logf("-trees-seed %d", seed)
	r := &trees{Rand: rand.New(rand.NewPCG(seed, 0)), t: t, dir: treeDir(t)}
	write(t, filepath.Join(r.dir, "wanted-end"), "x")
	list := treeRules(t, r)
	on, off := watchBoth(t, list)
	on.filterExecs()
	var sent, seen, alerted int
	for round := range *treesRounds {
		if round%4 == 0 {
			r.orphans = round%8 == 0
			list = treeRules(t, r)
		}
		on.use(list)
		off.use(list)
		r.files, r.fifos = 0, 0
		script := r.script([]int{3, 3, 8}[r.IntN(3)])
		for range 3 { // the kernel knows the second time what no rule can match
			cmd := exec.Command("sh", "-c", script+"\nwait")
			cmd.Dir = r.dir
			out, err := cmd.CombinedOutput() // to the end of all processes
			if len(out) > 0 && testing.Verbose() && err != nil {
				t.Logf("%s: %v", out, err)
			}
			reap()
		}
		finish(t, exec.Command("sh", "-c", ": < "+r.dir+"/wanted-end"))
		events, alerts := on.ended()
		all, want := off.ended()
		if incomplete(t, on, off) {
			continue
		}
		if d := gocmp.Diff(want, alerts); d != "" {
			for _, rule := range list {
				t.Log(rule.Name, rule.Condition)
			}
			t.Fatalf("round %d, %s\nalerts if all is told (-) and if it is told late (+):\n%s", round, script, d)
		}
		sent, seen, alerted = sent+sum(events), seen+sum(all), alerted+sum(want)
	}
	t.Logf("%d of %d events delivered, %d alerts", sent, seen, alerted)
	if sent > seen*9/10 || alerted == 0 {
		t.Errorf("%d of %d events delivered, %d alerts: tells little", sent, seen, alerted)
	}
}

var orphanRounds = flag.Int("orphans", 1000, "processes that TestUntoldOrphans makes")

// A process opens a file while its parent ends, of which user space has not been
// told either: the parent's end is not told before the child.
func TestUntoldOrphans(t *testing.T) {
	dir := treeDir(t)
	write(t, filepath.Join(dir, "wanted-end"), "x")
	list := loadRules(t, openRule(ownOutput))
	on, off := watch(t, list, true), watch(t, list, false)
	on.filterExecs()
	script := fmt.Sprintf("i=0; while [ $i -lt %d ]; do ( : < %s/wanted & ); i=$((i+1)); done", *orphanRounds, dir)
	finish(t, exec.Command("sh", "-c", script)) // to the end of all processes
	finish(t, exec.Command("sh", "-c", ": < "+dir+"/wanted-end"))
	_, alerts := on.ended()
	_, want := off.ended()
	if d := gocmp.Diff(want, alerts); d != "" || sum(want) != *orphanRounds {
		t.Errorf("%d alerts; if all is told (-) and if it is told late (+):\n%s", sum(want), d)
	}
}

// adoptOrphans has the test get the processes whose parents end, until it is over,
// so that their parents are among those that a watcher looks at. It returns what
// waits for those that have ended.
func adoptOrphans(t *testing.T) (reap func()) {
	t.Helper()
	adopt := func(on uintptr) {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, on, 0, 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	adopt(1)
	t.Cleanup(func() { adopt(0) })
	return func() {
		for {
			if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 || err != nil {
				return
			}
		}
	}
}

// A process has another parent by the time at which user space is told of it, as a
// child of its opens a file.
func TestUntoldOrphansParent(t *testing.T) {
	reap := adoptOrphans(t)
	r := &trees{t: t, dir: treeDir(t)}
	write(t, filepath.Join(r.dir, "wanted-end"), "x")
	list := loadRules(t, openRule("%evt.type %fd.name %proc.name %proc.aname[2] %proc.acmdline[2] %proc.acmdline[3]"))
	on, off := watch(t, list, true), watch(t, list, false)
	on.filterExecs()
	ready, begin := r.fifo(), r.fifo()
	script := "( sh " + r.file(": > "+ready+"; : < "+begin+"; ( : < "+r.dir+"/wanted; : ); :") + " & : < " + ready + " ); : > " + begin
	const rounds = 3 // the kernel knows the second time what no rule can match
	for round := range rounds {
		if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		reap()
		needs.Eventually(t, "the alert of the round is seen", func() (seen bool) {
			err := on.engine.Do(t.Context(), func() { seen = sum(on.alerts) > round })
			return err == nil && seen
		})
	}
	finish(t, exec.Command("sh", "-c", ": < "+r.dir+"/wanted-end"))
	_, alerts := on.ended()
	_, want := off.ended()
	if d := gocmp.Diff(want, alerts); d != "" || sum(want) != rounds {
		t.Errorf("%d alerts; if all is told (-) and if it is told late (+):\n%s", sum(want), d)
	}
	if on.late < rounds-1 {
		t.Errorf("%d execs are told late", on.late)
	}
}
