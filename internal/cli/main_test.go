package cli

import (
	"os"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/generator"
)

// The test binary is the generator's worker process.
func TestMain(m *testing.M) {
	if status, is := generator.Child(); is {
		os.Exit(status)
	}
	os.Exit(m.Run())
}
