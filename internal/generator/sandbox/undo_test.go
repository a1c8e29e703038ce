package sandbox

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator/engine"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/test/support/enginetest"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// listed is how a docker lists a container: from its third list on.
const listed = `[ "$2" = ls ] && [ $(grep -c " ls " $log) -ge 3 ] && echo 0123abc; exit 0`

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
		noted := enginetest.Stub(t, "docker", listed)
		state := t.TempDir()
		entries := []entry{{Container: &contained{Engine: engine.Docker, Name: "peregrine-x"}}}
		if tt.answered {
			entries = append(entries, entry{Container: &contained{Engine: engine.Docker, Name: "peregrine-x", Answered: true}})
		}
		dead(t, state, entries...)
		did, err := Cleanup(state)
		asked := strings.Count(noted(), " ls ")
		if err != nil || strings.Join(did, "\n") != strings.Join(tt.want, "\n") || asked != tt.asked {
			t.Errorf("%s: %q, %v, after %d lists, want %q after %d", tt.name, did, err, asked, tt.want, tt.asked)
		}
	}
}

// What makes a container itself is not killed, but awaited.
func TestCleanupAwaitsClient(t *testing.T) {
	enginetest.Stub(t, "podman", "exit 0")
	client := exec.Command("cat")
	stdin, err := client.StdinPipe()
	if err == nil {
		err = client.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- client.Wait() }()
	pid := client.Process.Pid
	start, err := procfs.Host.StartTime(pid)
	if err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	dead(t, state, entry{Container: &contained{Engine: engine.Podman, Name: "peregrine-x"}},
		entry{Container: &contained{Engine: engine.Podman, Name: "peregrine-x", Client: &process{pid, start}}})
	cleaned := make(chan error, 1)
	go func() {
		_, err := Cleanup(state)
		cleaned <- err
	}()
	select {
	case err := <-cleaned:
		t.Errorf("cleanup did not wait: %v", err)
	case err := <-ended:
		t.Errorf("the client was ended: %v", err)
	case <-time.After(200 * time.Millisecond): // the client works on
	}
	if err := errors.Join(stdin.Close(), <-ended, <-cleaned); err != nil {
		t.Error(err)
	}
}

// containerd's client is ended when its container runs and does not stop, whether
// the run had seen that or not. A client that has not been noted may be there all
// the same.
func TestCleanupAwaitsContainer(t *testing.T) {
	announced := contained{Engine: engine.Containerd, Name: "peregrine-x"}
	for _, name := range []string{"not noted", "noted", "answered"} {
		client := exec.Command("sleep", "60") // is killed before
		if err := client.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- client.Wait() }()
		start, err := procfs.Host.StartTime(client.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		entries := []entry{{Container: &announced}}
		if name != "not noted" {
			noted := announced
			noted.Client = &process{client.Process.Pid, start}
			entries = append(entries, entry{Container: &noted})
		}
		if name == "answered" {
			entries = append(entries, entry{Container: &contained{Engine: engine.Containerd, Name: announced.Name, Answered: true}})
		}
		calls := enginetest.Stub(t, "ctr", `case "$1" in tasks) [ $(grep -c "tasks list" $log) -lt 3 ] || echo "`+
			engine.Containerd.ID(announced.Name)+`    12    RUNNING" ;; esac`)
		state := t.TempDir()
		dead(t, state, entries...)
		if did, err := Cleanup(state); err != nil || len(did) > 0 {
			t.Errorf("%s: %q, %v", name, did, err)
		}
		before, _, _ := strings.Cut(calls(), "containers list")
		if lists := strings.Count(before, "tasks list\n"); lists < 3 || lists*len("tasks list\n") != len(before) {
			t.Errorf("%s: asked %.300q before the list of containers", name, before)
		}
		if name == "not noted" {
			_ = client.Process.Kill() // cleanup does not know it
		}
		select {
		case <-ended:
		case <-time.After(needs.Patience):
			_ = client.Process.Kill() // for the next case
			t.Errorf("%s: the client goes on", name)
		}
	}
}
