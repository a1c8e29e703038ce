package generator

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// needRoot skips tests that change namespaces.
func needRoot(t *testing.T) {
	t.Helper()
	var err error
	if !hasSysAdmin() {
		err = os.ErrPermission
	}
	needs.That(t, "CAP_SYS_ADMIN", err)
}

// hostState is all that a run could leave on a host: files with mode, owner,
// size and times, mounts, cgroups.
func hostState(t *testing.T) map[string]string {
	t.Helper()
	state := map[string]string{}
	for _, dir := range []string{"/usr/bin", "/usr/sbin", "/bin", "/sbin", "/etc", "/root", "/home", "/dev", "/tmp", "/var/log", "/usr/lib"} {
		listTree(state, dir, dir == "/usr/lib")
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(mounts), "\n") {
		if _, point, _ := strings.Cut(line, " "); !others(point) && !othersMount(point) {
			state["mount "+line] = ""
		}
	}
	cgroups, err := filepath.Glob("/sys/fs/cgroup/*/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range cgroups {
		if ownName.MatchString(filepath.Base(path)) {
			state["cgroup "+path] = ""
		}
	}
	return state
}

// listTree lists dir, its top only if shallow, without known files of this test
// run and of other users of this machine.
func listTree(state map[string]string, dir string, shallow bool) {
	_ = filepath.WalkDir(dir, func(path string, item fs.DirEntry, err error) error {
		if err != nil {
			return nil // vanished meanwhile
		}
		if path == "/tmp" {
			return nil // shared; only its entries count
		}
		if others(path) {
			return filepath.SkipDir
		}
		if info, err := item.Info(); err == nil {
			state[path] = describe(path, info)
		}
		if shallow && item.IsDir() && path != dir {
			return filepath.SkipDir
		}
		return nil
	})
}

// others says whether a path belongs to other work: build caches, test
// directories of other packages, terminals.
func others(path string) bool {
	for _, prefix := range []string{"/root/.cache", "/root/.config/go/telemetry", "/root/go", "/root/.pyenv", "/root/.cargo", "/root/.rustup", "/root/.npm", "/dev/pts", "/tmp/go-build", "/tmp/bash_jobs"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	for _, shared := range []string{"/tmp/", "/dev/shm/"} { // others build and test there
		if rest, ok := strings.CutPrefix(path, shared); ok {
			name, _, _ := strings.Cut(rest, "/")
			name, _, _ = strings.Cut(name, " ") // of a mount
			return !ownName.MatchString(name)
		}
	}
	return false
}

// ownName is a name that the generator gives to its files and cgroups, with the
// id of the run. Tests of other packages have peregrine-e2e-123 and the like, for
// minutes.
var ownName = regexp.MustCompile("^peregrine-([0-9a-f]{8}($|-)|[0-9]+$|state-)")

func TestOthers(t *testing.T) {
	for path, want := range map[string]bool{
		"/tmp/peregrine-0123abcd": false, "/tmp/peregrine-0123abcd/scratch/x": false, "/dev/shm/peregrine-0123abcd-": false, "/tmp/peregrine-123456789": false,
		"/tmp/peregrine-0123abcd tmpfs rw 0 0": false, "/etc/peregrine-e2e-1": false, "/etc": false,
		"/tmp/peregrine-e2e-123456": true, "/tmp/peregrine-runtimes-1/peregrine": true, "/tmp/TestX1/001 tmpfs rw 0 0": true, "/dev/shm/x": true, "/root/.cache/x": true,
	} {
		if others(path) != want {
			t.Errorf("%s: not %v", path, want)
		}
	}
}

// othersMount says whether a mount point is one of container runtimes, which tests
// of other packages start, or comes by itself when a program looks at it.
func othersMount(point string) bool {
	for _, prefix := range []string{"/run/", "/var/lib/", "/sys/kernel/debug/tracing", "/proc/sys/fs/binfmt_misc"} {
		if strings.HasPrefix(point, prefix) {
			return true
		}
	}
	return false
}

func describe(path string, info fs.FileInfo) string {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return info.Mode().String()
	}
	line := fmt.Sprintf("%v %d:%d %d links", info.Mode(), s.Uid, s.Gid, s.Nlink)
	if info.Mode().IsRegular() {
		line += fmt.Sprintf(" %d bytes %v", info.Size(), info.ModTime().UnixNano())
	}
	// A directory's own time shows that something came and went in it.
	if info.IsDir() && !strings.HasPrefix(path, "/dev") && !strings.HasPrefix(path, "/root") {
		line += fmt.Sprint(" ", info.ModTime().UnixNano())
	}
	return line
}

// compareHost fails for every difference between before and now that lasts:
// tests of other packages run the generator beside this one, and remove their
// files within their round.
func compareHost(t *testing.T, before map[string]string, normal func(map[string]string) map[string]string) {
	t.Helper()
	const longestRound = 2 * time.Minute
	lasting := compare(before, normal(hostState(t)))
	if !needs.Within(longestRound, func() bool {
		now := compare(before, normal(hostState(t)))
		lasting = slices.DeleteFunc(lasting, func(d string) bool { return !slices.Contains(now, d) })
		return len(lasting) == 0
	}) {
		t.Errorf("the host is not as it was:\n%s", strings.Join(lasting, "\n"))
	}
}

func compare(before, after map[string]string) (differences []string) {
	for path, was := range before {
		if is, ok := after[path]; !ok && !strings.Contains(path, "peregrine-") {
			differences = append(differences, "gone: "+path)
		} else if ok && is != was && !strings.HasPrefix(path, "/var/log/") {
			differences = append(differences, fmt.Sprintf("changed: %s\n  was %s\n  is  %s", path, was, is))
		}
	}
	for path := range after {
		if _, ok := before[path]; !ok {
			differences = append(differences, "left behind: "+path)
		}
	}
	return differences
}

// withTimes keeps a state as it is.
func withTimes(state map[string]string) map[string]string { return state }

// withoutTimes drops the times of directories: without the sandbox, files come
// and go in them.
func withoutTimes(state map[string]string) map[string]string {
	bare := map[string]string{}
	for path, line := range state {
		if strings.HasPrefix(line, "d") {
			line = strings.Join(strings.Fields(line)[:4], " ")
		}
		bare[path] = line
	}
	return bare
}
