package runtimes

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// tellRules shows all metadata at each open of a file whose name begins with
// /tell.
const tellRules = `
- rule: Tell
  desc: all metadata
  condition: evt.type in (open, openat) and fd.name startswith /tell and container
  output: >
    %fd.name %container.id %container.full_id %container.type %container.name %container.image %container.image.id
    %container.image.repository %container.image.tag %container.image.digest %container.privileged %container.host_pid
    %container.host_network %container.host_ipc %container.ip %container.mounts %container.labels %container.label[team]
    %k8s.pod.name %k8s.ns.name %k8s.pod.uid %k8s.pod.sandbox_id %k8s.pod.labels %k8s.pod.label[example.org/part]
    %k8s.pod.label[annotation.note] %k8s.pod.ip %container.mount.dest[0] %container.label[odd]
  priority: INFO
- macro: container
  condition: (container.id != host)
`

func tells(file string) func(alertLine) bool {
	return func(a alertLine) bool { return a.Rule == "Tell" && a.text("fd.name") == file }
}

// each runs a test with Docker and with Podman, whose command lines are the
// same.
func each(t *testing.T, test func(*testing.T, *engine)) {
	for name, start := range map[string]func(testing.TB) *engine{"docker": startDocker, "podman": startPodman} {
		t.Run(name, func(t *testing.T) { test(t, start(t)) })
	}
}

func TestMetadata(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		// One container is older than the sensor.
		old := e.cli(t, "run", "-d", "--name", "old", "--network", "none", tag)
		s := startSensor(t, tellRules, map[string]string{e.kind: e.socket})
		e.cli(t, "exec", "old", "/bin/open", "/tell/old")
		compare(t, s.await(t, "an alert of exec", tells("/tell/old")), map[string]string{
			"container.id": old[:12], "container.full_id": old, "container.name": "old", "container.image": tag, "container.type": e.kind,
		})

		// The first process of a new one has all its metadata.
		shared := t.TempDir()
		e.cli(t, "run", "--rm", "--name", "first", "--network", "none", "--label", "long="+strings.Repeat("x", 200),
			"-v", shared+":/shared:ro", tag, "open", "/tell/first")
		compare(t, s.await(t, "an alert of a first process", tells("/tell/first")), map[string]string{
			"container.name": "first", "container.image": tag, "container.image.repository": "localhost/tests/app", "container.image.tag": "v1",
			"container.image.id": "+", "container.privileged": "false", "container.host_pid": "false", "container.host_network": "false",
			"container.labels": "empty, team:tests", "container.label[team]": "tests", "container.ip": "", "k8s.pod.name": "<NA>",
			"k8s.pod.sandbox_id": "", "container.mount.dest[0]": "/shared",
		})
		e.cli(t, "run", "--rm", "--name", "wide", "--network", "host", "--pid", "host", "--ipc", "host", tag, "open", "/tell/wide")
		wide := map[string]string{"container.name": "wide", "container.host_pid": "true", "container.host_network": "true"}
		if e.kind == "docker" { // Podman 4.3 says "shareable" of the host's IPC namespace
			wide["container.host_ipc"] = "true"
		}
		compare(t, s.await(t, "an alert with the host's namespaces", tells("/tell/wide")), wide)

		// In a network, it has an address, which these engines tell when it has
		// started; labels may have anything in them.
		e.cli(t, "run", "-d", "--name", "networked", "--network", e.network, "--label", "odd="+oddLabel, tag)
		addressed := func(a alertLine) bool { return tells("/tell/networked")(a) && a.text("container.ip") != "" }
		needs.Eventually(t, "an alert with an address", func() bool {
			e.cli(t, "exec", "networked", "/bin/open", "/tell/networked")
			return len(s.find(addressed)) > 0
		})
		a := s.find(addressed)[0]
		compare(t, a, map[string]string{"container.label[odd]": oddLabel, "container.host_network": "false", "container.name": "networked"})
		if _, err := netip.ParseAddr(a.text("container.ip")); err != nil {
			t.Error(err)
		}
		e.cli(t, "rm", "-f", "networked")

		// A restarted container is the same; after a pause it goes on.
		e.cli(t, "restart", "-t", "1", "old")
		e.cli(t, "pause", "old")
		e.cli(t, "unpause", "old")
		e.cli(t, "exec", "old", "/bin/open", "/tell/restarted")
		compare(t, s.await(t, "an alert after a restart", tells("/tell/restarted")), map[string]string{"container.id": old[:12], "container.name": "old"})

		// Its name can be another's afterwards, and its image be named by its id.
		e.cli(t, "rm", "-f", "old")
		image := e.cli(t, "image", "inspect", "--format", "{{.Id}}", tag)
		e.cli(t, "run", "--rm", "--name", "old", "--network", "none", image, "open", "/tell/anew")
		compare(t, s.await(t, "an alert of the second of a name", tells("/tell/anew")), map[string]string{
			"container.name": "old", "container.image.id": strings.TrimPrefix(image, "sha256:"), "container.image.repository": "localhost/tests/app", "container.image.tag": "v1",
		})
		if id := s.find(tells("/tell/anew"))[0].text("container.id"); id == old[:12] {
			t.Error("a removed container's id")
		}
	})
}

// oddLabel is a label's value with special characters of YAML, JSON and shells.
const oddLabel = "a=\"b\",%c{d}[e]: 'f' ü\\, g:h"

// After a restart of the runtime, containers are known again, and the log says
// once that it was away.
func TestRuntimeRestarts(t *testing.T) {
	each(t, func(t *testing.T, e *engine) {
		s := startSensor(t, tellRules, map[string]string{e.kind: e.socket})
		losses := s.restart(t, e)
		e.cli(t, "run", "--rm", "--name", "again", "--network", "none", tag, "open", "/tell/again")
		compare(t, s.await(t, "an alert after the restart", tells("/tell/again")), map[string]string{"container.name": "again"})
		if losses != 1 {
			t.Errorf("the log says %d times that the runtime is away", losses)
		}
	})
}

// Short-lived containers: each alert has its image and its name, and the sensor
// does not grow.
func TestChurn(t *testing.T) {
	e := startDocker(t)
	s := startSensor(t, tellRules, map[string]string{e.kind: e.socket})
	half := 0
	for i := range *churn {
		e.cli(t, "run", "--rm", "--name", fmt.Sprintf("c%d", i), "--network", "none", tag, "open", fmt.Sprintf("/tell/%d", i))
		if i == *churn/2 {
			half = residentMiB(t, s.cmd.Process.Pid)
		}
	}
	for i := range *churn {
		a := s.await(t, "an alert of each", tells(fmt.Sprintf("/tell/%d", i)))
		compare(t, a, map[string]string{"container.name": fmt.Sprintf("c%d", i), "container.image": tag})
	}
	most := 48
	if *churn >= 200 { // fewer say more of the garbage collector than of growth
		most = min(most, half+8)
	}
	t.Logf("%d containers: %d MiB resident, %d after half of them", *churn, s.resident(t, most), half)
}
