// Package version knows what this binary is.
package version

import "runtime/debug"

// version is set by the linker.
var version = ""

// Engine is the version of Falco's rule language that the engine speaks.
const Engine = "0.62.0"

// Version is the version of this build: what the Makefile set, else what the
// Go toolchain knows, else "unknown".
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
