// Package needs declares the prerequisites of a test: root, eBPF, programs. If one
// is missing, the test is skipped; with PEREGRINE_REQUIRE_BPF=1, as in .ci/run, it
// fails. It also waits for conditions that tests need.
package needs

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// required is the environment variable of machines that have everything.
const required = "PEREGRINE_REQUIRE_BPF"

// That skips the test, or fails it, if err is not nil, because a requirement is
// not met.
func That(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		missing(t, what+": "+err.Error())
	}
}

// Root needs the user root.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		missing(t, "root")
	}
}

// Programs needs programs in the path.
func Programs(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		Program(t, name)
	}
}

// Program needs a program in the path, and returns its own.
func Program(t testing.TB, name string) (path string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, "the program "+name)
	}
	return path
}

func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv(required) == "1" {
		t.Fatalf("needs %s, and %s=1 says that it is here", what, required)
	}
	t.Skipf("needs %s", what)
}

// SmallDisk is a directory that has room for size, which is as mount(8) takes
// it for a tmpfs: 64k.
func SmallDisk(t testing.TB, size string) string {
	t.Helper()
	Root(t)
	dir := t.TempDir()
	That(t, "to mount a small disk", unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size))
	t.Cleanup(func() {
		// Detached: others on the host may just look at it.
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// Host gives the directories of the host, such as /etc, to this test until it
// ends: it compares them, or changes them. Tests of other packages run beside it
// that do the same.
func Host(t testing.TB) {
	t.Helper()
	root, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Flock(int(root.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Patience is how long a test waits before it fails: a loaded machine may need
// many seconds.
const Patience = 60 * time.Second

// Eventually waits until ok holds. It polls: use it only where neither a channel
// nor the kernel signals the change.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if !Within(Patience, ok) {
		t.Fatalf("not within %v: %s", Patience, what)
	}
}

// Within is Eventually with a limit of its own, for callers that can say more
// about a failure. It is false if ok does not hold in time.
func Within(limit time.Duration, ok func() bool) bool {
	for end := time.Now().Add(limit); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}
