package runtimes

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	generator "github.com/peregrine-sec/peregrine/internal/generator/engine"
)

// The generator's objects in each runtime are found by their whole name,
// removed, and not found again. A runtime that does not answer may have it
// still.
func TestRemoves(t *testing.T) {
	const name, image = "peregrine-0123", "localhost/peregrine/helper:0123"
	for engine, start := range map[generator.Engine]func(testing.TB) *engine{
		generator.Docker: startDocker, generator.Podman: startPodman, generator.Containerd: startContainerd,
	} {
		t.Run(string(engine), func(t *testing.T) {
			e := start(t)
			t.Setenv("DOCKER_HOST", "unix://"+e.socket)
			t.Setenv("CONTAINERD_ADDRESS", e.socket)
			for _, variable := range e.env {
				name, value, _ := strings.Cut(variable, "=")
				t.Setenv(name, value)
			}
			if err := engine.Helper(t.Context(), image, []string{"/var/log"}); err != nil {
				t.Fatal(err)
			}
			if engine == generator.Containerd {
				e.cli(t, "containers", "create", image, fmt.Sprintf("%x", sha256.Sum256([]byte(name))))
			} else {
				e.cli(t, "create", "--network", "none", "--name", name, image)
			}
			remove := func(want bool, remove func() (bool, error)) {
				t.Helper()
				if was, err := remove(); was != want || err != nil {
					t.Errorf("removed: %v, %v; was there: %v", was, err, want)
				}
			}
			container := func() (bool, error) { return engine.Remove(t.Context(), name) }
			helper := func() (bool, error) { return engine.RemoveImage(t.Context(), image) }
			remove(false, func() (bool, error) { return engine.Remove(t.Context(), name[:len(name)-1]) })
			remove(false, func() (bool, error) { return engine.RemoveImage(t.Context(), image[:len(image)-1]) })
			remove(true, container)
			remove(false, container)
			remove(true, helper)
			remove(false, helper)
			if engine == generator.Podman {
				return // has no daemon that would have to answer
			}
			e.stop()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second) // ctr tries for 10 s
			defer cancel()
			if _, err := engine.Remove(ctx, name); err == nil {
				t.Error("nobody answers, and the container is said to be gone")
			}
			if _, err := engine.RemoveImage(ctx, image); err == nil {
				t.Error("nobody answers, and the image is said to be gone")
			}
		})
	}
}
