package kubernetes

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/capacity/falco"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
)

func TestRelease(t *testing.T) {
	for image, want := range map[string]falco.Release{
		"docker.io/falcosecurity/falco:0.44.1":           44,
		"falcosecurity/falco:0.38.0-debian":              38,
		"docker.io/falcosecurity/falco-no-driver:0.37.1": 37,
		"falco:v0.30.0":                 30,
		"falco:0.36.2@sha256:00":        36,
		"registry:5000/falco@sha256:00": 41, // by the label of the chart
		"falco:latest":                  41,
		"mirror/guard:7":                41,
		"localhost/peregrine:0.1.0":     falco.Newest,
	} {
		d := &daemonSet{Metadata: meta{Labels: map[string]string{"app.kubernetes.io/version": "0.41.3"}}}
		if got := d.release(&container{Image: image}); got != want {
			t.Errorf("%s: 0.%d, want 0.%d", image, got, want)
		}
	}
	if got := (&daemonSet{}).release(&container{Image: "falco@sha256:00"}); got != falco.Newest {
		t.Errorf("of which nothing is known: 0.%d", got)
	}
}

// A registry or a namespace called peregrine makes no sensor ours.
func TestOurs(t *testing.T) {
	for _, test := range []struct {
		name, image string
		want        bool
	}{
		{"peregrine", "mirror/guard:7", true},
		{"sensor", "peregrine", true},
		{"sensor", "localhost:5000/peregrine:0.1.0", true},
		{"sensor", "registry/peregrine-sec/peregrine-sensor@sha256:00", true},
		{"sensor", "registry/peregrine/falco:0.37.1", false},
		{"sensor", "peregrine.example.com:5000/falco:0.37.1", false},
		{"sensor", "registry/guard:peregrine", false},
		{"falco", "registry/peregrine:1", true}, // in place of a Falco
		{"falco", "registry/peregrine-falco:0.37.1", false},
		{"falco", "registry/peregrine/falco:0.37.1", false},
	} {
		if c := (container{Name: test.name, Image: test.image}); c.ours() != test.want {
			t.Errorf("container %s of %s: ours %v", test.name, test.image, !test.want)
		}
	}
}

func TestMetricsPort(t *testing.T) {
	c := convert[container](object{"ports": []any{object{"name": "web", "containerPort": 8765}}})
	for release, want := range map[falco.Release]int{37: 0, 38: 8765, falco.Newest: 8765} {
		if got := c.metricsPort(release); got != want {
			t.Errorf("0.%d: port %d, want %d", release, got, want)
		}
	}
	if got := (&container{}).metricsPort(falco.Newest); got != 0 {
		t.Errorf("without a port: %d", got)
	}
	c.ReadinessProbe.HTTPGet.Scheme = "HTTPS"
	if got := c.metricsPort(falco.Newest); got != 0 {
		t.Errorf("with TLS: %d", got)
	}
}

// Settings are added to arguments, those of the image too; where they would be
// lost in a script, the run is refused.
func TestArguments(t *testing.T) {
	for name, test := range map[string]struct {
		container container
		want      string // "": refused
	}{
		"arguments":             {container{Args: []string{"/usr/bin/falco", "-pk"}}, "/usr/bin/falco -pk"},
		"a command":             {container{Command: []string{"/usr/bin/falco"}, Args: []string{"-A"}}, "-A"},
		"a command alone":       {container{Command: []string{"/usr/bin/falco", "-A"}}, " "},
		"those of Falco's":      {container{Image: "falco:0.44.1"}, "/usr/bin/falco"},
		"Peregrine's":           {container{Image: "localhost/peregrine:1"}, "sensor"},
		"a script":              {container{Command: []string{"/bin/sh", "-c", "exec falco -A"}}, ""},
		"a script of arguments": {container{Args: []string{"bash", "-ec", "falco"}}, ""},
		"a script that passes":  {container{Command: []string{"sh", "-c", `exec falco "$@"`, "--"}, Args: []string{"-A"}}, "-A"},
	} {
		if shell := test.container.inShell(); shell != (test.want == "") {
			t.Errorf("%s: in a shell: %v", name, shell)
		}
		if got := strings.Join(test.container.arguments(), " "); test.want != "" && got != strings.TrimSpace(test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
	c, client := newCluster(t, 1, 1)
	c.template()["containers"].([]any)[0].(object)["args"] = []any{"sh", "-c", "falco"}
	refuses(t, c, options(t, client), "starts the sensor by a shell")
}

// refuses checks that a run is refused, says why, and has changed nothing.
func refuses(t *testing.T, c *cluster, o Options, why string) {
	t.Helper()
	_, err := Run(context.Background(), o)
	var refused *sweep.PreflightError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), why) {
		t.Errorf("error %v, want %q", err, why)
	}
	for call := range c.calls {
		if !strings.HasPrefix(call, "GET") && call != "POST selfsubjectaccessreviews" {
			t.Errorf("%s: %s was called", why, call)
		}
	}
}

// A sensor that is not found is asked for, with a name that is like the one given.
func TestFindSensor(t *testing.T) {
	for name, want := range map[string]string{
		"security/falko":  "there is no DaemonSet security/falko, did you mean security/falco?",
		"elsewhere/falco": "there is no DaemonSet elsewhere/falco, did you mean security/falco?",
		"falco":           `DaemonSet "falco": expected NAMESPACE/NAME, did you mean security/falco?`,
		"a/zzz":           "there is no DaemonSet a/zzz",
	} {
		c, client := newCluster(t, 1, 1)
		o := options(t, client)
		o.DaemonSet = name
		refuses(t, c, o, want)
	}
	c, client := newCluster(t, 1, 1)
	c.set["metadata"].(object)["labels"] = object{"app": "web"}
	c.template()["containers"].([]any)[0].(object)["name"] = "web"
	refuses(t, c, options(t, client), "no DaemonSet is a sensor's by its label app.kubernetes.io/name or the name of its container (falco or peregrine)")

	c, client = newCluster(t, 2, 1)
	o := options(t, client)
	o.Nodes = []string{"node_1"}
	refuses(t, c, o, "there is no node node_1, did you mean node-1?")
}
