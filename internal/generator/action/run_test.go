package action

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/generator/artifact"
)

// testEnv is an environment without a sandbox, whose scratch directory is
// the test's.
func testEnv(t *testing.T) Env {
	t.Helper()
	exe, err := os.Executable() // package child makes it every child
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// A copy that the user nobody may execute too.
	program := filepath.Join(dir, "program")
	if err := os.WriteFile(program, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := CopyProgram(exe, program, 0); err != nil {
		t.Fatal(err)
	}
	scratch := filepath.Join(dir, "scratch")
	if err := os.Mkdir(scratch, 0o755); err != nil {
		t.Fatal(err)
	}
	return Env{Scratch: scratch, Prefix: "peregrine-test-" + filepath.Base(filepath.Dir(dir)), Exe: program}
}

// recorder is a journal in memory.
type recorder struct{ artifacts []artifact.Artifact }

func (r *recorder) Artifact(a artifact.Artifact) error {
	r.artifacts = append(r.artifacts, a)
	return nil
}

var _ Journal = (*recorder)(nil)

// quick are the actions that touch nothing of the host's and need neither the
// sandbox's network nor a container that a sensor would see.
func quick(t *testing.T) []*Action {
	var list []*Action
	for _, a := range All() {
		if a.Risk() != NoRisk || a.Needs.Place == Cluster || a.Cost == Slow || a.Needs.Root && os.Geteuid() != 0 {
			continue
		}
		list = append(list, a)
	}
	if len(list) < 40 {
		t.Fatalf("only %d actions to test", len(list))
	}
	return list
}

func TestRunAndClose(t *testing.T) {
	for _, a := range quick(t) {
		t.Run(a.Name, func(t *testing.T) {
			runtime.LockOSThread() // as workers are: ptrace wants it
			defer runtime.UnlockOSThread()
			env := testEnv(t)
			env.InContainer = a.Needs.Place == Container || a.Needs.Place == Privileged
			env.Privileged = env.InContainer
			journal := &recorder{}
			env.Journal = journal
			before := descriptors(t)
			r, err := a.Prepare(env)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if err := r.Run(); err != nil {
					t.Fatal(err)
				}
			}
			left := walk(t, env.Scratch)
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			if after := walk(t, env.Scratch); len(after) > 0 {
				t.Errorf("left behind: %v", after)
			}
			for _, path := range left {
				if !announced(journal, path) {
					t.Errorf("%s was not in the journal: %+v", path, journal.artifacts)
				}
			}
			if diff := cmp.Diff(before, descriptors(t)); diff != "" {
				t.Errorf("descriptors leak: %s", diff)
			}
		})
	}
}

// announced says whether undoing the journal would remove path.
func announced(j *recorder, path string) bool {
	return slices.ContainsFunc(j.artifacts, func(a artifact.Artifact) bool { return a.Path == path })
}

func walk(t *testing.T, dir string) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if path != dir {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func descriptors(t *testing.T) []string {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var open []string
	for _, item := range list {
		to, err := os.Readlink("/proc/self/fd/" + item.Name())
		if err == nil {
			open = append(open, item.Name()+" "+to)
		}
	}
	return open
}

// In-process actions do not allocate.
func TestRunDoesNotAllocate(t *testing.T) {
	runtime.LockOSThread() // as workers are: ptrace wants it
	defer runtime.UnlockOSThread()
	for _, a := range quick(t) {
		if a.Cost != Fast {
			continue
		}
		env := testEnv(t)
		env.InContainer = a.Needs.Place == Container
		r, err := a.Prepare(env)
		if err != nil {
			t.Fatal(err)
		}
		n := testing.AllocsPerRun(100, func() {
			if err := r.Run(); err != nil {
				t.Fatal(a.Name, err)
			}
		})
		if n != 0 {
			t.Errorf("%s allocates %v times", a.Name, n)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// An action that fails says so with the kernel's number, and nothing is
// allocated for that either.
func TestFailuresAreErrnos(t *testing.T) {
	env := testEnv(t)
	a, _ := Lookup("syscall.ClearLogActivities")
	r, err := a.Prepare(env)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(env.Scratch, "ClearLogActivities")); err != nil {
		t.Fatal(err)
	}
	if err := r.Run(); err != syscall.ENOENT {
		t.Errorf("without its directory: %v", err)
	}
	if n := testing.AllocsPerRun(100, func() { _ = r.Run() }); n != 0 {
		t.Errorf("a failure allocates %v times", n)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	missing := env
	missing.Exe = "/nonexistent"
	a, _ = Lookup("syscall.FindAwsCredentials")
	if r, err = a.Prepare(missing); err != nil {
		t.Fatal(err)
	}
	if err := r.Run(); err != syscall.ENOENT {
		t.Errorf("without a program: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestSkips(t *testing.T) {
	for _, test := range []struct {
		name string
		env  Env
		why  string
	}{
		{"syscall.PacketSocketCreatedInContainer", Env{}, "only applicable to containers"},
		{"syscall.UserMgmtBinaries", Env{InContainer: true}, "only applicable to hosts"},
		{"syscall.DebugfsLaunchedInPrivilegedContainer", Env{}, "only applicable to containers"},
		{"syscall.DebugfsLaunchedInPrivilegedContainer", Env{InContainer: true}, "only applicable to privileged containers of a real container runtime"},
		{"k8saudit.CreatePrivilegedPod", Env{}, "needs a Kubernetes cluster and its audit log"},
		{"syscall.InterpretedProcsInboundNetworkActivity", Env{Egress: true}, "listens at an address that only the sandbox's network has"},
		{"syscall.UnexpectedUDPTraffic", Env{}, "would reach addresses outside this host: needs the sandbox or --allow-egress"},
	} {
		a, ok := Lookup(test.name)
		if !ok {
			t.Fatal(test.name)
		}
		_, err := a.Prepare(test.env)
		var skip *SkipError
		if !errors.As(err, &skip) || skip.Reason != test.why {
			t.Errorf("%s: %v, want a skip because it is %s", test.name, err, test.why)
		}
	}
}

// A preparation that fails half-way takes back its first half.
func TestPrepareUndoesItself(t *testing.T) {
	a := &Action{Name: "test.Half", Needs: Needs{Place: Anywhere}, prepare: func(p *prep) (func() error, error) {
		name, err := p.inScratch("file")
		if err != nil {
			return nil, err
		}
		return nil, errors.Join(p.mknod(name, 0o644), syscall.EPERM)
	}}
	env := testEnv(t)
	if _, err := a.Prepare(env); !errors.Is(err, syscall.EPERM) {
		t.Errorf("error %v", err)
	}
	if left := walk(t, env.Scratch); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Disposable files are not removed: that would be events.
func TestDisposable(t *testing.T) {
	env := testEnv(t)
	env.Disposable = true
	env.Journal = failing{}
	a, _ := Lookup("syscall.ClearLogActivities")
	r, err := a.Prepare(env)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Run(), r.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(env.Scratch, "ClearLogActivities", "syslog")); err != nil {
		t.Error(err)
	}
}

// failing is a journal that cannot be written.
type failing struct{}

func (failing) Artifact(artifact.Artifact) error { return syscall.ENOSPC }

// An artifact that cannot be journalled first is not made.
func TestJournalFirst(t *testing.T) {
	env := testEnv(t)
	env.Journal = failing{}
	a, _ := Lookup("syscall.ClearLogActivities")
	if _, err := a.Prepare(env); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error %v", err)
	}
	if left := walk(t, env.Scratch); len(left) > 0 {
		t.Errorf("made without a journal entry: %v", left)
	}
}
