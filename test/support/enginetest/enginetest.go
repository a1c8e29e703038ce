// Package enginetest replaces the command line of a container engine by a script,
// for tests.
package enginetest

import (
	"os"
	"path/filepath"
	"testing"
)

// Stub puts a program into PATH that notes its arguments, a line for each call,
// in the file $log beside it, and runs a script. It returns what gives the notes.
func Stub(t *testing.T, name, script string) (noted func() string) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	text := "#!/bin/sh\nlog=" + log + "\necho \"$@\" >> $log\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() string {
		text, _ := os.ReadFile(log) // it may not have been called
		return string(text)
	}
}
