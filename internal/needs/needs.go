// Package needs declares the prerequisites of a test: root, eBPF, programs. If one
// is missing, the test is skipped; with PEREGRINE_REQUIRE_BPF=1, as in .ci/run, it
// fails. It also waits for conditions that tests need.
package needs

import (
	"os"
	"os/exec"
	"testing"
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
