// Package e2e tests the binary from outside: whole commands, the real kernel,
// real processes, sockets and signals. Everything here needs root and eBPF,
// and is skipped without, unless PEREGRINE_REQUIRE_BPF=1.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// binary is peregrine, built once from this checkout, or the one that
// PEREGRINE_BINARY names: a release, for instance.
var binary string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	// Rules look at names below /tmp and at deleted programs: the binary lives
	// in a plain directory that everybody may enter.
	dir, err := os.MkdirTemp("", "peregrine-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	binary = filepath.Join(dir, "peregrine")
	if given := os.Getenv("PEREGRINE_BINARY"); given != "" {
		if err := copyFile(given, binary); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return leaks.Run(m)
	}
	build := exec.Command("go", "build", "-o", binary, "github.com/peregrine-sec/peregrine/cmd/peregrine")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return leaks.Run(m)
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, content, 0o755)
}

// requireBPF skips a test that needs root and the kernel's cooperation, or
// fails it where that is promised.
func requireBPF(t *testing.T) {
	t.Helper()
	needs.Root(t)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
