package journal

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

// TestMain lets the test binary play a run that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("JOURNAL_TEST_DIR"); dir != "" {
		victim(dir)
	}
	leaks.Main(m)
}

// victim opens a journal, notes two changes, hands the journal to a child that
// outlives it, and waits to be killed.
func victim(dir string) {
	j, err := Open(dir, "victim")
	if err == nil {
		err = errors.Join(j.Add("one"), j.Add("two"))
	}
	child := exec.Command("sleep", "600")
	if err == nil {
		child.ExtraFiles = []*os.File{j.Descriptor()}
		err = child.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("ready", child.Process.Pid)
	_ = child.Wait()
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open1(t *testing.T, dir, name string) *Journal {
	t.Helper()
	j, err := Open(dir, name)
	check(t, err)
	return j
}

// record undoes everything and records the entries.
func record(into *[]string) Undo {
	return func(entry json.RawMessage) (string, error) {
		var text string
		err := json.Unmarshal(entry, &text)
		*into = append(*into, text)
		return "undid " + text, err
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	check(t, err)
	var found []string
	for _, item := range list {
		found = append(found, item.Name())
	}
	return found
}

func TestUndo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journals")
	j := open1(t, dir, "run")
	check(t, errors.Join(j.Add("one"), j.Add("two"), j.Add("three")))
	var undone []string
	did, err := j.Undo(record(&undone))
	check(t, err)
	if diff := cmp.Diff([]string{"three", "two", "one"}, undone); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"undid three", "undid two", "undid one"}, did); diff != "" {
		t.Errorf("did (-want +got):\n%s", diff)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the empty directory is still there: %v", err)
	}
	if did, err := j.Undo(record(&undone)); did != nil || err != nil || len(undone) != 3 {
		t.Errorf("undone again: %v, %v, %v", did, err, undone)
	}
}

// Only entries that cannot be undone stay.
func TestUndoPartly(t *testing.T) {
	dir := t.TempDir()
	j := open1(t, dir, "run")
	check(t, errors.Join(j.Add("one"), j.Add("two"), j.Add("three")))
	_, err := j.Undo(func(entry json.RawMessage) (string, error) {
		if string(entry) == `"two"` {
			return "", errors.New("busy")
		}
		return "", nil
	})
	if err == nil || !strings.Contains(err.Error(), "busy") {
		t.Fatalf("undo: %v", err)
	}
	check(t, j.Add("four"))
	var undone []string
	_, err = j.Undo(record(&undone))
	check(t, err)
	if diff := cmp.Diff([]string{"four", "two"}, undone); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

// startVictim returns a run, with its journal in dir, and its child, which
// outlives it.
func startVictim(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	run := exec.Command(os.Args[0])
	run.Env, run.Stderr = append(os.Environ(), "JOURNAL_TEST_DIR="+dir), os.Stderr
	out, err := run.StdoutPipe()
	check(t, err)
	check(t, run.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	check(t, err)
	var child int
	_, err = fmt.Sscanf(line, "ready %d", &child)
	check(t, err)
	t.Cleanup(func() { _ = unix.Kill(child, unix.SIGKILL) })
	return run
}

func TestRecover(t *testing.T) {
	dir := t.TempDir()
	run := startVictim(t, dir)
	var undone []string
	found, err := Recover(dir, "vic", record(&undone))
	check(t, err)
	if len(found) != 1 || !found[0].Live || found[0].Owner.PID != run.Process.Pid || len(undone) > 0 {
		t.Errorf("a run that is going on: %+v, undone %v", found, undone)
	}
	if live, err := Live(dir, ""); err != nil || len(live) != 1 {
		t.Errorf("live: %+v, %v", live, err)
	}

	check(t, run.Process.Kill())
	_ = run.Wait()
	if live, err := Live(dir, ""); err != nil || len(live) != 0 {
		t.Errorf("live after its end, with a child that holds the lock: %+v, %v", live, err)
	}
	if found, err := Recover(dir, "other", record(&undone)); err != nil || len(found) > 0 {
		t.Errorf("journals of another name: %+v, %v", found, err)
	}
	found, err = Recover(dir, "vic", record(&undone))
	check(t, err)
	if len(found) != 1 || found[0].Live || cmp.Diff([]string{"two", "one"}, undone) != "" {
		t.Errorf("a run that has ended: %+v, undone %v", found, undone)
	}
	if left := names(t, dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A live run in a pid namespace that is not ours is known by its lock alone.
func TestAlive(t *testing.T) {
	me, err := self()
	check(t, err)
	other, rebooted, reused := me, me, me
	other.Namespace, rebooted.Boot, reused.Start = "pid:[1]", "another", me.Start+1
	for _, test := range []struct {
		name         string
		owner        Owner
		locked, want bool
	}{
		{"this process", me, false, true},
		{"pid in use again", reused, true, false},
		{"before the last boot", rebooted, true, false},
		{"another namespace, locked", other, true, true},
		{"another namespace, not locked", other, false, false},
	} {
		if got := test.owner.alive(test.locked); got != test.want {
			t.Errorf("%s: alive %v", test.name, got)
		}
	}
}

// A journal never exists without its owner, and never replaces another one.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	j := open1(t, dir, "run")
	defer j.Descriptor().Close()
	if _, err := Open(dir, "run"); err == nil {
		t.Error("the same journal was opened twice")
	}
	check(t, j.Add("kept"))
	check(t, os.WriteFile(filepath.Join(dir, "123"+temporary), nil, 0o600)) // of a run killed while it made one
	var undone []string
	found, err := Recover(dir, "", record(&undone))
	check(t, err)
	if len(found) != 1 || !found[0].Live || len(undone) > 0 {
		t.Errorf("%+v, undone %v", found, undone)
	}
	if left := names(t, dir); !slices.Equal(left, []string{"run.journal"}) {
		t.Errorf("in the directory: %v", left)
	}
}

// Runs that begin and end at the same time share the directory.
func TestManyRuns(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "journals")
	var runs sync.WaitGroup
	for n := range 8 {
		runs.Go(func() {
			for m := range 20 {
				j, err := Open(dir, fmt.Sprintf("%d-%d", n, m))
				if err != nil {
					t.Error(err)
					return
				}
				if err := j.Add(m); err != nil {
					t.Error(err)
				}
				if _, err := j.Undo(func(json.RawMessage) (string, error) { return "", nil }); err != nil {
					t.Error(err)
				}
				if _, err := Recover(dir, "", nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	runs.Wait()
	if left := names(t, dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Of two that recover the same journal at once, one undoes it, and the other
// waits for it: undoing twice would undo later changes of others.
func TestRecoverAtOnce(t *testing.T) {
	dir := t.TempDir()
	run := startVictim(t, dir)
	check(t, run.Process.Kill())
	_ = run.Wait()
	var undone atomic.Int32
	undo := func(json.RawMessage) (string, error) {
		if undone.Add(1) == 1 {
			time.Sleep(100 * time.Millisecond) // a wide window for the others, which must not use it
		}
		return "", nil
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if _, err := Recover(dir, "", undo); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := undone.Load(); n != 2 {
		t.Errorf("%d changes undone, of 2", n)
	}
	if left := names(t, dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// One that does not come to an end is not waited for without bound.
func TestRecoverIsBounded(t *testing.T) {
	dir := t.TempDir()
	run := startVictim(t, dir)
	check(t, run.Process.Kill())
	_ = run.Wait()
	file, err := open(filepath.Join(dir, "victim"+suffix))
	check(t, err)
	defer file.Close()
	check(t, claim(file, 0))
	defer func(d time.Duration) { claimTimeout = d }(claimTimeout)
	claimTimeout = 50 * time.Millisecond
	found, err := Recover(dir, "", func(json.RawMessage) (string, error) { t.Error("undone"); return "", nil })
	if err == nil || !strings.Contains(err.Error(), "another process is undoing it") || len(found) != 0 {
		t.Errorf("%+v, %v", found, err)
	}
}
