package sandbox

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/generator/artifact"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// dead writes the journal of a run that has ended.
func dead(t *testing.T, state string, entries ...entry) string {
	t.Helper()
	lines := []string{`{"owner_pid":999999999,"owner_start":1}`}
	for _, e := range entries {
		line, err := json.Marshal(e)
		check(t, err)
		lines = append(lines, string(line))
	}
	name := filepath.Join(state, journalPrefix+"dead.journal")
	check(t, os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	return name
}

// identified is an artifact that was made.
func identified(t *testing.T, a artifact.Artifact) entry {
	t.Helper()
	check(t, a.Identify())
	return entry{Artifact: &a}
}

func announced(a artifact.Artifact) entry { return entry{Artifact: &a} }

// A directory that the run has made, and that others use since, stays with all
// that is theirs; a replaced file of the run is left, though it could be
// mistaken for the announced one.
func TestCleanupLeavesWhatIsNotTheRuns(t *testing.T) {
	state, top := t.TempDir(), filepath.Join(t.TempDir(), "rpm")
	dir := artifact.Artifact{Path: top, Kind: artifact.Directory}
	ours := artifact.Artifact{Path: top + "/ours", Kind: artifact.File}
	replaced := artifact.Artifact{Path: top + "/replaced", Kind: artifact.File}
	precious := top + "/Packages"
	check(t, os.Mkdir(top, 0o755))
	for _, path := range []string{ours.Path, replaced.Path, precious} {
		check(t, os.WriteFile(path, nil, 0o644))
	}
	name := dead(t, state, announced(dir), identified(t, dir), announced(ours), announced(replaced), identified(t, replaced))
	check(t, os.Rename(precious, replaced.Path))
	check(t, os.WriteFile(precious, []byte("precious"), 0o644))

	did, err := Cleanup(state)
	check(t, err)
	want := []string{
		"left " + replaced.Path + ": it was replaced: another inode", "removed " + ours.Path,
		"left " + top + `: it holds "Packages", which the run did not make`,
	}
	if diff := cmp.Diff(want, did); diff != "" {
		t.Error(diff)
	}
	for _, path := range []string{precious, replaced.Path} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(name); !os.IsNotExist(err) {
		t.Errorf("the journal is still there: %v", err)
	}
}

func TestCleanupUndoesInReverse(t *testing.T) {
	state, top := filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "top")
	j, err := OpenJournal(state, "run1")
	check(t, err)
	dir, file := artifact.Artifact{Path: top, Kind: artifact.Directory}, artifact.Artifact{Path: top + "/file", Kind: artifact.File, Content: "abc"}
	check(t, j.Make(dir, func() error { return os.Mkdir(top, 0o755) }))
	check(t, j.Make(file, func() error { return os.WriteFile(file.Path, []byte("a"), 0o644) }))
	check(t, j.Artifact(artifact.Artifact{Path: top + "/never-made", Kind: artifact.File}))
	did, err := Cleanup(state)
	if err != nil || len(did) != 1 || !strings.Contains(did[0], "its run is going on") {
		t.Errorf("a living run: %v, %v", did, err)
	}
	check(t, j.Undo())
	for _, path := range []string{top, state} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s remains: %v", path, err)
		}
	}
	if did, err := Cleanup(state); err != nil || len(did) != 0 {
		t.Errorf("once more: %v, %v", did, err)
	}
}

// The end of a run names the objects that it leaves.
func TestUndoNamesWhatIsLeft(t *testing.T) {
	top := filepath.Join(t.TempDir(), "top")
	j, err := OpenJournal(t.TempDir(), "run1")
	check(t, err)
	check(t, j.Make(artifact.Artifact{Path: top, Kind: artifact.Directory}, func() error { return os.Mkdir(top, 0o755) }))
	check(t, os.WriteFile(top+"/precious", nil, 0o644))
	if err := j.Undo(); err == nil || !strings.Contains(err.Error(), "precious") {
		t.Errorf("error %v", err)
	}
}

func TestCleanupOfOddEntries(t *testing.T) {
	for text, want := range map[string]string{
		`{"mount":"/x"}`:      "does not know",
		`{"artifact":"/etc"}`: "journal entry",
		`{"cgroup":"/proc"}`:  "",
	} {
		state := t.TempDir()
		name := dead(t, state)
		file, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
		check(t, err)
		_, err = file.WriteString(text + "\n")
		check(t, errors.Join(err, file.Close()))
		if did, err := Cleanup(state); len(did) != 0 || (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", text, did, err)
		}
	}
}

// TestProcesses ends a process with its group, stopped or not, its leader gone
// or not, and none that only has a pid in common with it.
func TestProcesses(t *testing.T) {
	for _, test := range []struct {
		name       string
		skew       uint64
		leaderGone bool
		dies       bool
	}{
		{"the one that was noted", 0, false, true},
		{"another one under its pid", 1, false, false},
		{"its leader has ended", 0, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			leader := exec.Command("sh", "-c", "sleep 60 & echo $!; read x")
			leader.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
			in, err := leader.StdinPipe()
			check(t, err)
			out, err := leader.StdoutPipe()
			check(t, err)
			check(t, leader.Start())
			line := make([]byte, 32)
			n, err := out.Read(line)
			check(t, err)
			var member int
			check(t, json.Unmarshal(line[:n], &member))
			memberStart, err := procfs.Host.StartTime(member)
			check(t, err)
			start, err := procfs.Host.StartTime(leader.Process.Pid)
			check(t, err)
			if test.leaderGone {
				in.Close()
				_ = leader.Wait()
			} else { // the kernel continues those whose group has lost its leader
				check(t, syscall.Kill(member, syscall.SIGSTOP))
			}
			did, err := (&process{leader.Process.Pid, start + test.skew}).kill(t.Context())
			if err != nil || (did != "") != test.dies || procfs.Host.Alive(member, memberStart) == test.dies {
				t.Errorf("%q, %v", did, err)
			}
			_ = syscall.Kill(-leader.Process.Pid, syscall.SIGKILL)
			_ = leader.Wait()
		})
	}
	if did, err := (&process{1 << 22, 1}).kill(t.Context()); did != "" || err != nil {
		t.Errorf("no such process: %q, %v", did, err)
	}
}

// Journals in a directory that others may write to are not believed.
func TestStateDirectoryIsPrivate(t *testing.T) {
	state := t.TempDir()
	victim := artifact.Artifact{Path: filepath.Join(t.TempDir(), "victim"), Kind: artifact.File}
	check(t, os.WriteFile(victim.Path, nil, 0o600))
	dead(t, state, identified(t, victim))
	check(t, os.Chmod(state, 0o777))
	if did, err := Cleanup(state); err == nil || slices.ContainsFunc(did, func(s string) bool { return strings.HasPrefix(s, "removed") }) {
		t.Errorf("%v, %v", did, err)
	}
	if _, err := os.Stat(victim.Path); err != nil {
		t.Error(err)
	}
	if _, err := OpenJournal(state, "run"); err == nil {
		t.Error("a journal in a directory of everybody's")
	}
}
