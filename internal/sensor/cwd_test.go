package sensor

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func init() {
	acts["directories"] = actDirectories
	acts["moving threads"] = actMovingThreads
}

// actDirectories opens the file x in several directories, and in between does
// what may make others take one for the current directory that is not.
func actDirectories(args []string) error {
	top := args[0]
	in := func(dir string) error { return unix.Chdir(filepath.Join(top, dir)) }
	run := func(script string) error {
		cmd := exec.Command("/bin/sh", "-c", script)
		cmd.Env = []string{"TOP=" + top}
		return cmd.Run()
	}
	fd, err := unix.Open(filepath.Join(top, "c"), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return errors.Join(
		in("a"), in("b"), openX(),
		fails(in("none")), openX(),
		unix.Fchdir(fd), openX(), openX(),
		in("a"), run("exec cat x"), openX(), // told with the fork
		run("cd $TOP/b; (cd $TOP/c; cat x); (cd $TOP/a; exit 0); cd $TOP; cd -; cat x"),
		in("b"), inOwnDirectory(func() error { return errors.Join(in("c"), openX()) }), openX(),
		in("a"), openX(),
		unix.Rename(filepath.Join(top, "moving"), filepath.Join(top, "moved")), in("moved"), openX(),
		in("b"), // told with the exit
	)
}

// actMovingThreads changes the directory again and again. Each time, two threads
// then open a file that has the name of the directory.
func actMovingThreads(args []string) error {
	top := args[0]
	var threads [2]chan string
	var opened sync.WaitGroup
	for i := range threads {
		threads[i] = make(chan string)
		go func() {
			runtime.LockOSThread()
			for name := range threads[i] {
				_, _ = os.Open("/no/such/" + name)
				opened.Done()
			}
		}()
	}
	for i := range 20_000 {
		name := []string{"a", "b", "c"}[i%3]
		if err := unix.Chdir(filepath.Join(top, name)); err != nil {
			return err
		}
		opened.Add(len(threads))
		for _, t := range threads {
			t <- name
		}
		opened.Wait()
	}
	return nil
}

func fails(err error) error {
	if err == nil {
		return errors.New("expected to fail")
	}
	return nil
}

// openX opens x of the current directory.
func openX() error {
	f, err := os.Open("x")
	if err != nil {
		return nil // a failed call is an event, too
	}
	return f.Close()
}

// inOwnDirectory runs a function in a thread, not the main one, with a directory
// of its own.
func inOwnDirectory(do func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends
		if unix.Gettid() == unix.Getpid() {
			done <- inOwnDirectory(do)
			return
		}
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			done <- err
			return
		}
		done <- do()
	}()
	return <-done
}

// Changes of directory that no rule wants are not sent, and all events have
// the directory that they have with them.
func TestDirectoriesAreToldLate(t *testing.T) {
	list, dir, exe := directories(t, `
- {rule: Opens, desc: d, priority: INFO, condition: evt.type = openat and fd.name endswith /x, output: "%proc.cwd %fd.name %proc.name"}
- {rule: Execs, desc: d, priority: INFO, condition: evt.type = execve, output: "%proc.cwd %proc.cmdline"}
- {rule: Exits, desc: d, priority: INFO, condition: evt.type = procexit, output: "%proc.cwd %proc.name"}
`)
	on, off := watch(t, list, true), watch(t, list, false)
	pid := finish(t, exec.Command(exe, actArg, "directories", dir))
	events, alerts := on.saw(pid)
	all, want := off.saw(pid)
	if d := gocmp.Diff(want, alerts); d != "" {
		t.Errorf("alerts with every chdir (-) and without (+):\n%s", d)
	}
	if all["chdir"] < 10 || events["chdir"] != 1 || events["fchdir"] > 0 { // 1: of a thread with its own directory
		t.Errorf("of %d chdir and %d fchdir, %d and %d were sent", all["chdir"], all["fchdir"], events["chdir"], events["fchdir"])
	}
}

// Of threads that send events at the same time, one tells of the directory. The
// events of the others come behind it.
func TestDirectoriesAreToldToThreads(t *testing.T) {
	list, dir, exe := directories(t, `
- {rule: Opens, desc: d, priority: INFO, condition: evt.type = openat and fd.name startswith /no/such/, output: "%proc.cwd %fd.name"}
- {rule: Exits, desc: d, priority: INFO, condition: evt.type = procexit, output: "%proc.name"}
`)
	w := watch(t, list, true)
	_, alerts := w.saw(finish(t, exec.Command(exe, actArg, "moving threads", dir)))
	n := 0
	for _, name := range []string{"a", "b", "c"} {
		key := fmt.Sprintf("Opens: %s/%s/ /no/such/%[2]s", dir, name)
		n += alerts[key]
		delete(alerts, key)
	}
	if delete(alerts, "Exits: sensor.test"); n != 40_000 || len(alerts) > 0 {
		t.Errorf("%d of 40000 are right; of the others: %v", n, alerts)
	}
}

// A program that enters a mount namespace is in its root from then on, also before
// its next exec. It shows a row of docs/compatibility.md.
func TestDirectoryAfterSetns(t *testing.T) {
	nsenter := needs.Program(t, "nsenter")
	list, dir, _ := directories(t, `
- {rule: Failed execs, desc: d, priority: INFO, condition: evt.type = execve and evt.rawres < 0, output: "%proc.cwd %evt.arg.filename"}
`)
	w := watch(t, list, true)
	for i, tt := range []struct{ option, want string }{{"--mount=/proc/self/ns/mnt", "/"}, {"--uts=/proc/self/ns/uts", dir + "/a/"}} {
		cmd := exec.Command(nsenter, tt.option, "--", "/no/such/program")
		cmd.Dir = filepath.Join(dir, "a")
		if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.Success() {
			t.Fatalf("%v: %v", cmd, err)
		}
		if _, alerts := w.saw(cmd.Process.Pid); len(alerts) != i+1 || alerts["Failed execs: "+tt.want+" /no/such/program"] != 1 {
			t.Errorf("%s: %v", tt.option, alerts)
		}
	}
}

// directories are rules, directories with files, and the program of the acts.
func directories(t *testing.T, text string) (list []*rules.Rule, dir, exe string) {
	t.Helper()
	set, report := rules.Load([]rules.Source{{Name: "cwd.yaml", Content: []byte(text)}}, RuleOptions())
	if set == nil {
		t.Fatal(report.Err())
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c", "moving"} {
		err = errors.Join(err, os.Mkdir(filepath.Join(dir, name), 0o700))
		write(t, filepath.Join(dir, name, "x"), "x")
	}
	exe, err2 := os.Executable()
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return set.Rules, dir, exe
}
