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
	// With this variable it is the whole program: bench starts itself again as
	// the sensor.
	if os.Getenv("PEREGRINE_TEST_MAIN") == "1" && len(os.Args) > 1 && os.Args[1] == "sensor" {
		os.Exit(Main(OS()))
	}
	os.Exit(m.Run())
}
