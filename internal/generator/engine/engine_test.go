package engine

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/enginetest"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		engine        Engine
		spec          Spec
		with, without []string
	}{
		{Docker, Spec{Name: "n", Image: "i", Env: []string{"A=b"}, Args: []string{"x"}}, []string{"docker run --rm", "--cap-add SYS_ADMIN", "--network none", "--name n", "--env A=b", "--pid host", " i x"}, []string{"--privileged"}},
		{Podman, Spec{Name: "n", Image: "i", Privileged: true, Network: true}, []string{"podman run --rm --privileged", "--entrypoint " + Program}, []string{"--network"}},
		{Containerd, Spec{Name: "n", Image: "i", Args: []string{"x"}}, []string{"ctr run --rm", "--cap-add CAP_SYS_ADMIN", "--with-ns pid:/proc/self/ns/pid", " i " + Containerd.ID("n") + " " + Program + " x"}, []string{"--net-host", "--privileged"}},
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
	if id := Containerd.ID("n"); len(id) != 64 {
		t.Errorf("sensors do not know the id %s", id)
	}
}

func TestFind(t *testing.T) {
	if _, err := Find(t.Context(), "rkt"); err == nil || !strings.Contains(err.Error(), "docker, podman, containerd") {
		t.Errorf("%v", err)
	}
	enginetest.Stub(t, "docker", "echo no daemon; exit 1")
	if _, err := Find(t.Context(), "docker"); err == nil || !strings.Contains(err.Error(), "no daemon") {
		t.Errorf("%v", err)
	}
	enginetest.Stub(t, "podman", "exit 0")
	if e, err := Find(t.Context(), ""); err != nil || e != Podman {
		t.Errorf("%s, %v", e, err)
	}
}

// Only a task that has been started runs.
func TestRuns(t *testing.T) {
	id := Containerd.ID("x")
	for list, want := range map[string]bool{
		"TASK    PID    STATUS    \n" + id + "    12    RUNNING": true, id + "    12    CREATED": false, id + "0    12    RUNNING": false, "TASK    PID    STATUS": false,
	} {
		enginetest.Stub(t, "ctr", "echo '"+list+"'")
		if Containerd.Runs(t.Context(), "x") != want {
			t.Errorf("%q: not %v", list, want)
		}
	}
	enginetest.Stub(t, "ctr", "echo '"+id+"    12    RUNNING'; exit 1")
	if Containerd.Runs(t.Context(), "x") {
		t.Error("an engine that fails")
	}
	if Docker.Runs(t.Context(), "x") {
		t.Error("docker finishes what it makes")
	}
}

// A missing object is not removed; an existing one is removed by force,
// repeatedly while the engine refuses. An engine that does not answer may still
// have it: that is an error, or a journal would forget it.
func TestRemove(t *testing.T) {
	for _, tt := range []struct {
		name         string
		remove       func(context.Context, string) (bool, error)
		ask, command string
	}{
		{"docker", Docker.Remove, "container ls --all --quiet --filter name=^x$", "rm --force x"},
		{"podman", Podman.Remove, "container ls --all --external --quiet --filter name=^x$", "rm --force x"},
		{"podman", Podman.RemoveImage, "image ls --quiet --filter reference=x", "rmi --force x"},
		{"ctr", Containerd.Remove, "containers list --quiet id==" + Containerd.ID("x"), "containers delete " + Containerd.ID("x")},
		{"ctr", Containerd.RemoveImage, "images list --quiet name==x", "images rm --sync x"},
	} {
		const lists = `[ "$2" = ls ] || [ "$2" = list ] || `
		for _, answer := range []struct {
			script  string
			was     bool
			err     string
			removes int
		}{
			{"echo 0123abc", true, "", 1},
			{"true", false, "", 0},
			{"echo no daemon >&2; exit 1", false, "no daemon", 0},
			{lists + `[ $(grep -cx "` + tt.command + `" "$log") = 3 ] || exit 1; echo 0123abc`, true, "", 3},
			{`[ "$2" = ls ] || [ "$2" = list ] && [ $(grep -cx "` + tt.command + `" "$log") = 2 ] && exit; ` + lists + `exit 1; echo 0123abc`, true, "", 2}, // it has gone meanwhile
		} {
			noted := enginetest.Stub(t, tt.name, answer.script)
			was, err := tt.remove(t.Context(), "x")
			lines := strings.Split(strings.TrimSpace(noted()), "\n")
			removes := len(slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return line != tt.command }))
			if (err == nil) != (answer.err == "") || err != nil && !strings.Contains(err.Error(), answer.err) ||
				was != answer.was || lines[0] != tt.ask || removes != answer.removes {
				t.Errorf("%s %s: removed %v, %v, by %q", tt.name, answer.script, was, err, lines)
			}
		}
	}
	enginetest.Stub(t, "docker", `[ "$2" = ls ] || exit 1; echo 0123abc`)
	if was, err := Docker.Remove(t.Context(), "x"); !was || err == nil || !strings.Contains(err.Error(), "rm --force x") {
		t.Errorf("an engine that refuses for good: %v, %v", was, err)
	}
}

// The helper image has this program, and directories for the files that actions
// touch. It is not in a file on the host, which a kill would leave.
func TestHelper(t *testing.T) {
	temporary := t.TempDir()
	for name, want := range map[string]string{"docker": "load", "podman": "load", "ctr": "images import -"} {
		noted := enginetest.Stub(t, name, `cd "$(dirname "$0")" && tar -xf - && tar -tf blobs/sha256/"$(ls -S blobs/sha256 | head -1)" | sed 's/^/in: /' >> log; ls "$TMPDIR" | sed 's/^/left: /' >> log`)
		t.Setenv("TMPDIR", temporary)
		e := Engine(name)
		if name == "ctr" {
			e = Containerd
		}
		if err := e.Helper(t.Context(), "localhost/helper:1", []string{"/var/log"}); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(noted(), "\n")
		for _, line := range []string{want, "in: peregrine-generator", "in: var/log/peregrine-keeps-this-directory", "in: etc/shadow"} {
			if !slices.Contains(lines, line) {
				t.Errorf("%s: no %q in %q", name, line, lines)
			}
		}
		if strings.Contains(noted(), "left: ") {
			t.Errorf("%s: %q", name, lines)
		}
	}
}
