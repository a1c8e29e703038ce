package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/generator/engine"
)

// docker puts a program of that name into PATH, which lists a container from its
// n-th list on.
func docker(t *testing.T, n string) (asked func() int) {
	t.Helper()
	dir := t.TempDir()
	script := "#!/bin/sh\ncd " + dir + "\n[ \"$2\" = ls ] || exit 0\necho >> lists\n[ $(wc -l < lists) -lt " + n + " ] || echo 0123abc\n"
	check(t, os.WriteFile(filepath.Join(dir, "docker"), []byte(script), 0o755))
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() int {
		text, _ := os.ReadFile(filepath.Join(dir, "lists"))
		return strings.Count(string(text), "\n")
	}
}

// An object whose request was not answered may appear late; after an answer it
// will not.
func TestCleanupOfLateContainers(t *testing.T) {
	for _, tt := range []struct {
		name     string
		answered bool
		want     []string
		asked    int
	}{
		{"asked for", false, []string{"removed container peregrine-x"}, 3},
		{"answered about", true, nil, 1},
	} {
		asked := docker(t, "3")
		state := t.TempDir()
		entries := []entry{{Container: &contained{Engine: engine.Docker, Name: "peregrine-x"}}}
		if tt.answered {
			entries = append(entries, entry{Container: &contained{engine.Docker, "peregrine-x", true}})
		}
		dead(t, state, entries...)
		did, err := Cleanup(state)
		if err != nil || strings.Join(did, "\n") != strings.Join(tt.want, "\n") || asked() != tt.asked {
			t.Errorf("%s: %q, %v, after %d lists, want %q after %d", tt.name, did, err, asked(), tt.want, tt.asked)
		}
	}
}
