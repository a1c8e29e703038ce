// Package rules holds the default rules, embedded in the binary: the
// detections of Falco's stable, incubating and sandbox sets under the same
// names, in our own words.
package rules

import "embed"

//go:embed *.yaml
var files embed.FS

// Names are the files in the order in which they are loaded.
var Names = []string{"base.yaml", "files.yaml", "processes.yaml", "network.yaml", "containers.yaml", "writes.yaml"}

// Read returns the content of one of Names.
func Read(name string) []byte {
	data, err := files.ReadFile(name)
	if err != nil {
		panic(err) // Names and the embedded files differ: a mistake in this file
	}
	return data
}
