package runtimes

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	generator "github.com/peregrine-sec/peregrine/internal/generator/engine"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

var kills = flag.Int("kills", 4, "runs of the generator to kill with each runtime")

// killable is a run in containers that kill -9 ends when the test wants it.
type killable struct {
	process *os.Process
	log     string // a file: what it has started may outlive it, and keep a pipe open
	ended   chan struct{}
}

func startKillable(t *testing.T, e *engine, state, image string) *killable {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(built.binary, "generate", "run", "ClearLogActivities", "--sleep", "10ms", "--loop",
		"--in-container", image, "--container-engine", e.kind, "--state-dir", state)
	cmd.Env = e.environment()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	k := &killable{cmd.Process, log.Name(), make(chan struct{})}
	go func() {
		_ = cmd.Wait() // "signal: killed"
		close(k.ended)
	}()
	t.Cleanup(func() {
		_ = k.process.Kill() // it may have ended
		<-k.ended
	})
	return k
}

// kill ends the run, which must not have ended by itself.
func (k *killable) kill(t *testing.T) {
	t.Helper()
	err := k.process.Kill()
	<-k.ended
	if err != nil {
		t.Fatalf("the run ended before it was killed: %v\n%s", err, k.said())
	}
}

func (k *killable) said() []byte {
	text, _ := os.ReadFile(k.log) // says why a test fails
	return text
}

// cleanup returns the output of generate cleanup.
func cleanup(t *testing.T, e *engine, state string) string {
	t.Helper()
	return command(t, e.environment(), built.binary, "generate", "cleanup", "--state-dir", state)
}

// left lists the objects of the generator's runs in a runtime.
func left(t *testing.T, e *engine) string {
	t.Helper()
	var lists [][]string
	switch e.kind {
	case "containerd":
		lists = [][]string{{"containers", "ls", "-q"}, {"tasks", "ls", "-q"}, {"images", "ls", "-q", "name~=helper"}, {"snapshots", "ls"}}
	case "podman":
		lists = [][]string{{"ps", "-aq", "--external"}, {"images", "-q", "localhost/peregrine/helper"}}
	default:
		lists = [][]string{{"ps", "-aq"}, {"images", "-q", "localhost/peregrine/helper"}}
	}
	var all []string
	for _, list := range lists {
		for line := range strings.Lines(e.cli(t, list...)) {
			if !strings.Contains(line, "Committed") && !strings.HasPrefix(line, "KEY") { // of ctr snapshots: layers of images
				all = append(all, line)
			}
		}
	}
	return strings.Join(append(all, running(t, e)...), "\n")
}

// running are the processes of a runtime's containers: those that watch over
// them, and those of the program that the tests have built, which is mounted
// there.
func running(t *testing.T, e *engine) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Stat(built.binary)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, file := range files {
		text, _ := os.ReadFile(file) // it may have ended
		line := string(bytes.ReplaceAll(text, []byte{0}, []byte{' '}))
		watches := strings.Contains(line, filepath.Dir(e.socket)) && (strings.Contains(line, "shim") || strings.Contains(line, "conmon"))
		exe, err := os.Stat(filepath.Join(filepath.Dir(file), "exe"))
		contained := err == nil && os.SameFile(exe, program) && strings.HasPrefix(line, generator.Program)
		if watches || contained {
			found = append(found, file+": "+line)
		}
	}
	return found
}

// Whenever a run is killed, cleanup leaves nothing of it with the runtime.
func TestKilledRuns(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *engine{"docker": startDocker, "podman": startPodman, "containerd": startContainerd} {
		t.Run(name, func(t *testing.T) {
			e := start(t)
			for i := range *kills {
				state := t.TempDir()
				run := startKillable(t, e, state, "helper")
				moment := "at once"
				switch {
				case i%2 == 1: // while the container starts
					late := time.Duration(i/2%20) * 4 * time.Millisecond
					moment = late.String() + " after its first process"
					needs.Eventually(t, "a process of the container", func() bool { return len(running(t, e)) > 0 })
					time.Sleep(late) // whatever the runtime is doing then
				case i > 0:
					late := time.Duration(i) * 3 * time.Second / time.Duration(*kills)
					moment = late.String() + " after its start"
					time.Sleep(late) // whatever the run is doing then
				}
				run.kill(t)
				said := cleanup(t, e, state)
				var rest string
				needs.Eventually(t, "the end of what is left", func() bool {
					if rest != "" {
						t.Logf("killed %s, cleanup: %s, left: %s", moment, said, rest)
					}
					rest = left(t, e)
					return rest == ""
				})
			}
		})
	}
}

// gate is a proxy before dockerd, which holds a request to make a container
// until a request lists containers.
type gate struct {
	http.RoundTripper
	asked, listed         chan struct{}
	askedOnce, listedOnce sync.Once
}

func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.URL.Path, "/containers/create") {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		g.askedOnce.Do(func() { close(g.asked) })
		<-g.listed
		r = r.Clone(context.WithoutCancel(r.Context())) // the client has gone
		r.Body = io.NopCloser(bytes.NewReader(body))
		return g.RoundTripper.RoundTrip(r)
	}
	response, err := g.RoundTripper.RoundTrip(r)
	if strings.HasSuffix(r.URL.Path, "/containers/json") {
		g.listedOnce.Do(func() { close(g.listed) })
	}
	return response, err
}

// A daemon makes the container that a killed client has asked for, after cleanup
// has looked for it: cleanup looks again.
func TestKilledWhileMaking(t *testing.T) {
	e := startDocker(t)
	daemon := e.socket
	g := &gate{asked: make(chan struct{}), listed: make(chan struct{}), RoundTripper: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", daemon) },
	}}
	listener, err := net.Listen("unix", daemon+".gate")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "docker"}) },
		Transport: g,
	}}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	e.socket = daemon + ".gate"

	state := t.TempDir()
	run := startKillable(t, e, state, tag)
	select {
	case <-g.asked:
	case <-run.ended:
	case <-time.After(time.Minute):
		t.Fatalf("no container was asked for: %s", run.said())
	}
	run.kill(t)
	said := cleanup(t, e, state)
	if rest := left(t, e); rest != "" || !strings.Contains(said, "removed container peregrine-") {
		t.Errorf("left: %s\ncleanup: %s", rest, said)
	}
}
