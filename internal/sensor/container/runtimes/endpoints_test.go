package runtimes

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A user's own Podman is asked only if the configuration names its socket.
func TestUserSocketsOnlyByName(t *testing.T) {
	root := t.TempDir()
	const user = "/run/user/1000/podman/podman.sock"
	if err := os.MkdirAll(filepath.Join(root, filepath.Dir(user)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/nowhere", filepath.Join(root, user)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		named []string
		want  []string
	}{
		{nil, []string{filepath.Join(root, "/run/podman/podman.sock")}},
		{[]string{user}, []string{filepath.Join(root, user)}},
	} {
		var got []string
		for _, e := range Endpoints(Engines{Podman: Engine{Enabled: true, Sockets: c.named}}, Settings{HostRoot: root}) {
			got = append(got, e.Socket)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("sockets named %q: asked %q, want %q", c.named, got, c.want)
		}
	}
}
