package generator

import (
	"os"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

// The test binary is the worker process and every child.
func TestMain(m *testing.M) {
	if status, is := Child(); is {
		os.Exit(status)
	}
	if os.Getenv(killerVariable) != "" {
		os.Exit(killer())
	}
	leaks.Main(m)
}
