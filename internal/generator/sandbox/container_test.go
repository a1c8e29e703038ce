package sandbox

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func TestContainerPath(t *testing.T) {
	id := strings.Repeat("0a", 32)
	for path, want := range map[string]bool{
		"0::/": false,
		"0::/user.slice/user-0.slice/session-1.scope":                       false,
		"4:memory:/process_api/27ba9b86fa97c0e680fe542830a5cf19":            false,
		"1:cpu:/docker/" + id:                                               true,
		"0::/system.slice/docker-" + id + ".scope":                          true,
		"0::/kubepods/burstable/pod1-2/" + id:                               true,
		"0::/kubepods.slice/pod.slice/cri-containerd-" + id + ".scope":      true,
		"0::/system.slice/containerd.service/kubepods:cri-containerd:" + id: true,
		"0::/machine.slice/libpod-" + id + ".scope/container":               true,
		"1:cpu:/lxc/web":        true,
		"0::/lxc.payload.web/a": true,
		"0::/a/" + id + "0":     false,
		"0::/relaxc/" + id[:63]: false,
	} {
		if containerPath.MatchString(path) != want {
			t.Errorf("%s is a container: %v", path, !want)
		}
	}
}

func TestInContainer(t *testing.T) {
	const root = "1 0 0:1 / / rw - overlay overlay rw\n"
	for _, test := range []struct {
		cgroups, mounts string
		want            bool
	}{
		{"0::/\n", root, false},
		{"1:cpu:/\n0::/docker/" + strings.Repeat("0a", 32) + "\n", root, true},
		{"0::/\n", root + "2 1 0:2 /x /etc/hosts rw - ext4 a rw\n3 1 0:2 /y /etc/resolv.conf rw - ext4 a rw\n", true},
		{"0::/\n", root + "2 1 0:2 /x /etc/resolv.conf rw - ext4 a rw\n", false},
		{"", "", false},
	} {
		if got := inContainer(procfs.ParseCgroups(test.cgroups), procfs.ParseMounts(test.mounts)); got != test.want {
			t.Errorf("%q, %q: %v", test.cgroups, test.mounts, got)
		}
	}
}

// A look-alike's cgroups are there with its name, and gone when undone, with
// processes in them or not.
func TestLookalike(t *testing.T) {
	needs.Root(t)
	j, err := OpenJournal(t.TempDir(), "lookalike")
	if err != nil {
		t.Fatal(err)
	}
	l, err := NewLookalike("test1", j)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range l.Paths {
		if !containerPath.MatchString(path) || !strings.HasSuffix(filepath.Dir(path), "/docker") {
			t.Errorf("%s does not look like a container", path)
		}
		if _, err := os.Stat(filepath.Join(path, "cgroup.procs")); err != nil {
			t.Error(err)
		}
	}
	inside := exec.Command("sleep", "60")
	if err := inside.Start(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(l.Paths[0], "cgroup.procs"), []byte(strconv.Itoa(inside.Process.Pid)), 0); err != nil {
		t.Fatal(err)
	}
	// It is not the run's: another user has put it there.
	defer func() { _ = inside.Process.Kill(); _ = inside.Wait() }()
	if err := j.Undo(); err != nil {
		t.Error(err)
	}
	start, err := procfs.Host.Stat(inside.Process.Pid)
	if err != nil || start.Ended() {
		t.Errorf("a process that is not the run's was ended: %+v, %v", start, err)
	}
	for _, path := range l.Paths {
		if _, err := os.Stat(filepath.Dir(filepath.Dir(path))); !os.IsNotExist(err) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
}
