// Package version returns the version of this binary.
package version

import "runtime/debug"

// version is set by the linker.
var version = ""

// Engine is the version of Falco's rule language that the engine speaks.
const Engine = "0.62.0"

// Version is the version of this build: set by the Makefile, else from the Go
// toolchain: a module's version, a commit, or nothing ("unreleased").
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return of(info)
	}
	return "unknown"
}

// of is the version of a build without make: the module's, or the commit.
func of(info *debug.BuildInfo) string {
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "unreleased-" + s.Value[:12]
		}
	}
	return "unreleased"
}
