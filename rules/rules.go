// Package rules holds the default rules, embedded in the binary: the
// detections of Falco's stable, incubating and sandbox sets under the same
// names, in our own words.
package rules

import "embed"

//go:embed *.yaml
var files embed.FS

// Names are the files in the order in which they are loaded: that of their
// names, so that the same rules in a directory mean the same. An event alerts
// for the first rule that matches, so the narrower rules come first.
var Names = []string{"base.yaml", "containers.yaml", "evasions.yaml", "files.yaml", "k8s_audit.yaml", "network.yaml", "processes.yaml", "writes.yaml"}

// Read returns the content of one of Names.
func Read(name string) []byte {
	data, err := files.ReadFile(name)
	if err != nil {
		panic(err) // Names and the embedded files differ: a mistake in this file
	}
	return data
}
