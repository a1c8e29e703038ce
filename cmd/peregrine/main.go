// Command peregrine measures, and is, a runtime-security sensor.
package main

import (
	"os"

	"github.com/peregrine-sec/peregrine/internal/cli"
)

func main() {
	os.Exit(cli.Main(cli.OS()))
}
