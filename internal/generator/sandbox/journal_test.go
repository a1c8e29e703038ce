package sandbox

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

// left makes what a killed run leaves and its journal, unlocked.
func left(t *testing.T, state string, lines ...string) {
	t.Helper()
	name := filepath.Join(state, journalPrefix+"dead"+journalSuffix)
	if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCleanupUndoesInReverse(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	made := filepath.Join(dir, "made")
	for _, d := range []string{made, filepath.Join(made, "in", "it")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file, kept := filepath.Join(dir, "file"), filepath.Join(dir, "kept")
	for _, f := range []string{file, kept, filepath.Join(made, "in", "it", "file")} {
		if err := os.WriteFile(f, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	j, err := OpenJournal(state, "run1")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{j.Dir(made), j.File(file), j.File(filepath.Join(dir, "never-made"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	// The run lives: its journal is locked.
	undone, err := Cleanup(state)
	if err != nil || len(undone) != 1 || !strings.Contains(undone[0], "its run is going on") {
		t.Errorf("a living run: %v, %v", undone, err)
	}
	if err := j.file.Close(); err != nil { // as a kill does
		t.Fatal(err)
	}
	undone, err = Cleanup(state)
	if diff := cmp.Diff([]string{"removed " + file, "removed " + made}, undone); err != nil || diff != "" {
		t.Errorf("undone: %v\n%s", err, diff)
	}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 1 || list[0].Name() != "kept" {
		t.Errorf("remains: %v, %v", list, err)
	}
	if _, err := os.Stat(state); !os.IsNotExist(err) {
		t.Errorf("the empty state directory remains: %v", err)
	}
	if undone, err := Cleanup(state); err != nil || len(undone) != 0 {
		t.Errorf("once more: %v, %v", undone, err)
	}
}

func TestCleanupOfOddJournals(t *testing.T) {
	for _, test := range []struct {
		name    string
		lines   string
		undone  int
		problem string
	}{
		{"empty", "", 0, ""},
		{"killed while writing", `{"file":"/nonexistent/a"}` + "\n" + `{"file":"/nonex`, 0, ""},
		{"what is not there is undone", `{"dir":"/nonexistent/b"}` + "\n" + `{"cgroup":"/nonexistent/c"}` + "\n", 0, ""},
		{"not JSON", "rubbish\n{}\n", 0, "line 1"},
		{"from a newer version", `{"mount":"/x"}` + "\n", 0, "does not know"},
	} {
		t.Run(test.name, func(t *testing.T) {
			state := t.TempDir()
			name := filepath.Join(state, journalPrefix+"odd"+journalSuffix)
			if err := os.WriteFile(name, []byte(test.lines), 0o600); err != nil {
				t.Fatal(err)
			}
			undone, err := Cleanup(state)
			if len(undone) != test.undone || (err == nil) != (test.problem == "") || err != nil && !strings.Contains(err.Error(), test.problem) {
				t.Errorf("%v, %v", undone, err)
			}
			if _, serr := os.Stat(name); os.IsNotExist(serr) != (err == nil) {
				t.Errorf("journal is gone: %v, although: %v", os.IsNotExist(serr), err)
			}
		})
	}
}

// Files that are no journals are nobody's business, and a link is not followed.
func TestCleanupLeavesOtherFiles(t *testing.T) {
	state := t.TempDir()
	other := filepath.Join(state, "notes.txt")
	if err := os.WriteFile(other, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, filepath.Join(state, journalPrefix+"x"+journalSuffix)); err != nil {
		t.Fatal(err)
	}
	if undone, err := Cleanup(state); err == nil || len(undone) != 0 {
		t.Errorf("%v, %v", undone, err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
}

func TestProcesses(t *testing.T) {
	for _, test := range []struct {
		name string
		skew uint64
		dies bool
	}{{"the one that was noted", 0, true}, {"another one under its pid", 1, false}} {
		t.Run(test.name, func(t *testing.T) {
			cmd := exec.Command("sleep", "60")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			}()
			start, err := procfs.Host.StartTime(cmd.Process.Pid)
			if err != nil {
				t.Fatal(err)
			}
			did, err := (&process{cmd.Process.Pid, start + test.skew}).kill()
			if err != nil || (did != "") != test.dies {
				t.Errorf("%q, %v", did, err)
			}
		})
	}
	if did, err := (&process{1 << 22, 1}).kill(); did != "" || err != nil {
		t.Errorf("no such process: %q, %v", did, err)
	}
}

func TestLeftJournalOfProcess(t *testing.T) {
	state := t.TempDir()
	left(t, state, `{"process":{"pid":4194304,"start":1}}`)
	if undone, err := Cleanup(state); err != nil || len(undone) != 0 {
		t.Errorf("%v, %v", undone, err)
	}
}

// Journals in a directory that others may write to are not believed.
func TestStateDirectoryIsPrivate(t *testing.T) {
	state := t.TempDir()
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	left(t, state, `{"file":"`+victim+`"}`)
	if err := os.Chmod(state, 0o777); err != nil {
		t.Fatal(err)
	}
	if undone, err := Cleanup(state); err == nil || len(undone) != 0 {
		t.Errorf("%v, %v", undone, err)
	}
	if _, err := os.Stat(victim); err != nil {
		t.Error(err)
	}
	if _, err := OpenJournal(state, "run"); err == nil {
		t.Error("a journal in a directory of everybody's")
	}
}
