package engine

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// stub puts a program into PATH that notes its arguments and exits with a
// status.
func stub(t *testing.T, name, script string) (noted func() string) {
	t.Helper()
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	text := "#!/bin/sh\necho \"$@\" >> " + log + "\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() string { text, _ := os.ReadFile(log); return string(text) }
}

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		engine        Engine
		spec          Spec
		with, without []string
	}{
		{Docker, Spec{Name: "n", Image: "i", Env: []string{"A=b"}, Args: []string{"x"}}, []string{"docker run --rm", "--cap-add SYS_ADMIN", "--network none", "--name n", "--env A=b", "--pid host", " i x"}, []string{"--privileged"}},
		{Podman, Spec{Name: "n", Image: "i", Privileged: true, Network: true}, []string{"podman run --rm --privileged", "--entrypoint " + Program}, []string{"--network"}},
		{Containerd, Spec{Name: "n", Image: "i", Args: []string{"x"}}, []string{"ctr run --rm", "--cap-add CAP_SYS_ADMIN", " i " + Containerd.id("n") + " " + Program + " x"}, []string{"--net-host", "--privileged"}},
		{Containerd, Spec{Name: "n", Image: "i", Privileged: true, Network: true}, []string{"--net-host", "--privileged"}, nil},
	} {
		cmd, err := tt.engine.Run(tt.spec)
		if err != nil {
			t.Fatal(err)
		}
		line := strings.Join(cmd.Args, " ")
		for _, part := range tt.with {
			if !strings.Contains(line, part) {
				t.Errorf("%s: no %q in %s", tt.engine, part, line)
			}
		}
		for _, part := range tt.without {
			if strings.Contains(line, part) {
				t.Errorf("%s: %q in %s", tt.engine, part, line)
			}
		}
	}
	if id := Containerd.id("n"); len(id) != 64 {
		t.Errorf("sensors do not know the id %s", id)
	}
}

func TestFind(t *testing.T) {
	if _, err := Find(t.Context(), "rkt"); err == nil || !strings.Contains(err.Error(), "docker, podman, containerd") {
		t.Errorf("%v", err)
	}
	stub(t, "docker", "echo no daemon; exit 1")
	if _, err := Find(t.Context(), "docker"); err == nil || !strings.Contains(err.Error(), "no daemon") {
		t.Errorf("%v", err)
	}
	stub(t, "podman", "exit 0")
	if e, err := Find(t.Context(), ""); err != nil || e != Podman {
		t.Errorf("%s, %v", e, err)
	}
}

// What is not there is not removed; what is, is by force.
func TestRemove(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		remove       func(context.Context, string) (bool, error)
		was          bool
		last         string
	}{
		{"docker", `[ "$2" != inspect ]`, Docker.Remove, false, "container inspect x"},
		{"docker", `true`, Docker.Remove, true, "rm --force x"},
		{"podman", `[ "$2" != inspect ]`, Podman.RemoveImage, false, "image inspect x"},
		{"podman", `true`, Podman.RemoveImage, true, "rmi --force x"},
		{"ctr", `[ "$2" != info ]`, Containerd.Remove, false, "containers info " + Containerd.id("x")},
		{"ctr", `true`, Containerd.Remove, true, "containers delete " + Containerd.id("x")},
		{"ctr", `true`, Containerd.RemoveImage, false, "images list --quiet name==x"},
		{"ctr", `[ "$2" = rm ] || echo x`, Containerd.RemoveImage, true, "images rm --sync x"},
	} {
		noted := stub(t, tt.name, tt.script)
		was, err := tt.remove(t.Context(), "x")
		lines := strings.Split(strings.TrimSpace(noted()), "\n")
		if err != nil || was != tt.was || lines[len(lines)-1] != tt.last {
			t.Errorf("%s %s: removed %v, %v, by %q", tt.name, tt.script, was, err, lines)
		}
	}
}

// The helper image has this program, and directories for what actions touch.
func TestHelper(t *testing.T) {
	noted := stub(t, "docker", `tar -xOf "$3" manifest.json > /dev/null && tar -xOf "$3" --wildcards "blobs/*" | tar -t 2>/dev/null | sed 's/^/in: /' >> "$(dirname "$0")/log"; true`)
	if err := Docker.Helper(t.Context(), "localhost/helper:1", []string{"/var/log"}); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(strings.Split(noted(), "\n"), func(l string) bool { return strings.HasPrefix(l, "load --input ") }) {
		t.Errorf("not loaded: %s", noted())
	}
}
