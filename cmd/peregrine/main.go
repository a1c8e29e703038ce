// Command peregrine measures, and is, a runtime-security sensor.
package main

import (
	"os"
	"runtime"

	"github.com/peregrine-sec/peregrine/internal/cli"
	"github.com/peregrine-sec/peregrine/internal/generator"
)

func main() {
	runtime.MemProfileRate = 0 // nothing reads the profile, for which the runtime keeps tables
	// The generator starts this program again as its worker and as others.
	if status, is := generator.Child(); is {
		os.Exit(status)
	}
	os.Exit(cli.Main(cli.OS()))
}
