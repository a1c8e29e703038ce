package probe

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/linux/cgroup"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// A process whose control groups are nested so deep that their path is cut may
// be in a container: its exec is marked, and does not tell the ids of its groups.
func TestDeepGroups(t *testing.T) {
	p := loadOwn(t)
	for _, tc := range []struct {
		depth int
		told  bool
	}{{2, true}, {30, false}} {
		t.Run(fmt.Sprint(tc.depth), func(t *testing.T) {
			dir := nestedGroup(t, tc.depth)
			var pid int
			tr := traceInterest(t, p, Interest{}, func() {
				cmd := exec.Command("/bin/sh", "-c", "echo $$ > "+dir+"/cgroup.procs && exec /bin/true")
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				pid = cmd.Process.Pid
			})
			execs := tr.of(event.KindExecve, pid)
			if len(execs) != 2 {
				t.Fatalf("%d execs, want 2", len(execs))
			}
			last := execs[1]
			_, told := last.Bytes(last.Info().Slot("cgroup_set"))
			cut := last.Header().Flags&event.Truncated != 0
			if told != tc.told || cut == tc.told {
				t.Errorf("the groups' ids are told: %v, the event is marked: %v", told, cut)
			}
		})
	}
}

// nestedGroup makes a control group of so many below this process's own, in a
// tree of which the probe tells, and returns its directory.
func nestedGroup(t *testing.T, depth int) string {
	t.Helper()
	trees, err := cgroup.Trees("")
	if err != nil {
		t.Fatal(err)
	}
	own, err := procfs.Host.Cgroups(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, tree := range trees {
		if tree.Version == 1 && !tree.Has("memory") {
			continue
		}
		_, dir, err := tree.Find(own)
		if err != nil {
			continue
		}
		top := filepath.Join(dir, "peregrine-probe-test")
		nested := filepath.Join(top, strings.Repeat("n/", depth-1))
		t.Cleanup(func() {
			for d := nested; len(d) >= len(top); d = filepath.Dir(d) {
				if err := cgroup.Remove(d); err != nil && !os.IsNotExist(err) {
					t.Error(err)
				}
			}
		})
		if err := os.MkdirAll(nested, 0o755); err != nil {
			t.Fatal(err)
		}
		return nested
	}
	t.Fatal("no tree of control groups in which this process has one")
	return ""
}
