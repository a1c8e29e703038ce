package kubernetes

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// TestCluster runs a pod from an image of its own, with kubectl through the API
// server, and checks for leftovers afterwards.
func TestCluster(t *testing.T) {
	before := leftovers(t)
	t.Run("up", func(t *testing.T) {
		c := Up(t, Options{})
		pause, err := programs[2].path()
		if err != nil {
			t.Fatal(err)
		}
		c.Import(t, Image{Tag: "localhost/sleeper:1", Files: map[string]string{"/bin/sleeper": pause}, Entrypoint: []string{"/bin/sleeper"}})
		c.Run(t, c.Kubectl("run", "sleeper", "--image=localhost/sleeper:1", "--image-pull-policy=Never"))
		c.Run(t, c.Kubectl("wait", "pod/sleeper", "--for=condition=Ready", "--timeout=5m"))
		var pod struct{ Status struct{ PodIP string } }
		if err := json.Unmarshal([]byte(c.Run(t, c.Kubectl("get", "pod", "sleeper", "-o", "json"))), &pod); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(pod.Status.PodIP, "10.244.0.") {
			t.Errorf("the pod has the address %q", pod.Status.PodIP)
		}
		if out := c.Run(t, c.Helm("version", "--short")); !strings.HasPrefix(out, "v3.") {
			t.Errorf("helm version: %s", out)
		}
	})
	if after := leftovers(t); after != before {
		t.Errorf("left over:\n%s\nbefore:\n%s", after, before)
	}
}

// TestKilled takes down the remains of a killed process.
func TestKilled(t *testing.T) {
	before := leftovers(t)
	t.Run("up", func(t *testing.T) {
		c := Up(t, Options{})
		c.Run(t, c.Kubectl("run", "sleeper", "--image=localhost/pause:1", "--image-pull-policy=Never"))
		c.Run(t, c.Kubectl("wait", "pod/sleeper", "--for=condition=Ready", "--timeout=5m"))
		// As after kill -9 of everything that would have cleaned up.
		if err := end(c.dir, "kubelet", 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if err := takeDown(c.dir); err != nil {
			t.Fatal(err)
		}
	})
	if after := leftovers(t); after != before {
		t.Errorf("left over:\n%s\nbefore:\n%s", after, before)
	}
}

// leftovers lists a cluster's changes to the host. It waits until there are
// none.
func leftovers(t *testing.T) string {
	t.Helper()
	if os.Geteuid() == 0 {
		alone, err := lock()
		if err != nil {
			t.Fatal(err)
		}
		defer alone.Close()
	}
	needs.Programs(t, "ip")
	var b strings.Builder
	for _, args := range [][]string{{"ip", "netns"}, {"ip", "-o", "link"}, {"ip", "route"}} {
		out, err := exec.Command(args[0], args[1:]...).Output()
		if err != nil {
			t.Fatal(err)
		}
		if args[1] == "-o" {
			out = []byte(strings.Join(links(string(out)), "\n"))
		}
		b.Write(out)
	}
	for _, name := range sysctls {
		value, _ := os.ReadFile("/proc/sys/" + name)
		b.WriteString(name + "=" + string(value))
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, dir) || strings.Contains(line, "kubelet") {
			b.WriteString(line)
		}
	}
	for _, pattern := range append([]string{dir}, outside...) {
		found, _ := filepath.Glob(pattern)
		b.WriteString(strings.Join(found, "\n"))
	}
	b.WriteString(strings.Join(cgroups(cgroupFS, cgroupRoot, "kubepods", "kubepods.slice", "k8s.io"), "\n"))
	return b.String()
}

// links are the names of network interfaces.
func links(out string) []string {
	var names []string
	for line := range strings.Lines(out) {
		if f := strings.SplitN(line, ": ", 3); len(f) == 3 {
			names = append(names, f[1])
		}
	}
	return names
}
