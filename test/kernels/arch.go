package main

import (
	"fmt"
	"slices"
	"strings"
)

// arch describes an architecture of machines.
type arch struct {
	name     string // as Go and Debian call it
	qemu     string // its emulator
	pkg      string // Debian's package of that
	machine  string // qemu's name of the machine
	emulated string // differences of an emulated CPU
	console  string // the serial port
	kernels  []kernel
}

// arches have one kernel for each object of the probe at least.
var arches = []arch{
	{
		name: "amd64", qemu: "qemu-system-x86_64", pkg: "qemu-system-x86", machine: "pc", console: "ttyS0",
		// Emulated, cmpxchg16b leaves an address in the flags register now and
		// then (qemu 7.2), and the kernel panics on a double fault.
		emulated: ",-cx16",
		kernels: []kernel{
			{name: "5.10", suite: "bullseye-security", security: true},
			{name: "6.1", suite: "bookworm"},
			{name: "6.12", suite: "trixie"},
		},
	},
	{
		name: "arm64", qemu: "qemu-system-aarch64", pkg: "qemu-system-arm", machine: "virt,gic-version=max", console: "ttyAMA0",
		// The architecture's own algorithm for pointer authentication takes half
		// of an emulated machine's time.
		emulated: ",pauth-impdef=on",
		kernels: []kernel{
			{name: "5.10", suite: "bullseye"}, // the files of the security archive's newer ones were missing
			{name: "6.1", suite: "bookworm"},
			{name: "6.12", suite: "trixie"},
			{name: "6.12-16k", suite: "trixie", flavour: "arm64-16k"}, // pages of 16 KiB
		},
	},
}

// archByName is one of arches.
func archByName(name string) (arch, error) {
	i := slices.IndexFunc(arches, func(a arch) bool { return a.name == name })
	if i < 0 {
		return arch{}, fmt.Errorf("architecture %q: expected one of %s", name, strings.Join(archNames(), ", "))
	}
	return arches[i], nil
}

func archNames() []string {
	var names []string
	for _, a := range arches {
		names = append(names, a.name)
	}
	return names
}
