// Command peregrine measures, and is, a runtime-security sensor.
package main

import (
	"os"

	"github.com/peregrine-sec/peregrine/internal/cli"
	"github.com/peregrine-sec/peregrine/internal/generator"
)

func main() {
	// The generator starts this program again as its worker and as others.
	if status, is := generator.Child(); is {
		os.Exit(status)
	}
	os.Exit(cli.Main(cli.OS()))
}
