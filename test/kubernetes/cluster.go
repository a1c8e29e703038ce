package kubernetes

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// dir is the only place of a cluster's state: one cluster runs at a time, and
// the next finds the remains of a killed test.
const dir = "/var/tmp/peregrine-test-kubernetes"

// Options say how a cluster is started.
type Options struct {
	AuditPolicy  []byte // a Policy of audit.k8s.io/v1; without, changes are sent as metadata
	AuditWebhook []byte // a kubeconfig; without, http://127.0.0.1:9765/k8s-audit on the node
}

// Cluster is a running Kubernetes of one node, node1.
type Cluster struct {
	Kubeconfig string // of kubernetes-admin, who may do everything
	Socket     string // containerd's, which serves the CRI too

	dir, hyper, helm, pause string
	lock                    *os.File
	client                  *http.Client
}

// Up starts a cluster and takes it down when the test ends. Where that cannot
// be, it skips the test, or fails it if PEREGRINE_REQUIRE_BPF=1.
func Up(t testing.TB, o Options) *Cluster {
	t.Helper()
	if why := missing(); why != "" {
		needs.That(t, "Kubernetes", errors.New(why))
	}
	c, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.Logs())
		}
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// Start starts a cluster. It waits for another one of this machine to end, and
// takes down the remains of a killed process. It refuses a machine with another
// kubelet before it touches anything.
func Start(o Options) (*Cluster, error) {
	if why := missing(); why != "" {
		return nil, errors.New("Kubernetes: " + why)
	}
	lock, err := lock()
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, lock: lock, Kubeconfig: filepath.Join(dir, "kubernetes-admin.kubeconfig"), Socket: dir + "/containerd/containerd.sock"}
	if err := claim(dir, cgroupFS, "/proc"); err != nil {
		lock.Close()
		return nil, err
	}
	if err := c.up(o); err != nil {
		err = fmt.Errorf("start Kubernetes: %w\n%s", err, c.Logs())
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

// claim takes down the cluster that was left in dir, unless there is another
// kubelet: then it touches nothing.
func claim(dir, cgroupFS, proc string) error {
	if found := foreign(cgroupFS, proc); found != "" {
		return fmt.Errorf("%s is there: another kubelet runs on this machine; end it and remove its cgroups, or use another machine", found)
	}
	if err := takeDown(dir); err != nil {
		return fmt.Errorf("take down the cluster that was left: %w", err)
	}
	return nil
}

// lock waits until no other process of this machine has a cluster.
func lock() (*os.File, error) {
	f, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return f, nil
}

func (c *Cluster) up(o Options) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	boot := procfs.Host.BootID()
	if err := errors.Join(saveSysctls(c.dir), saveOutside(c.dir, boot)); err != nil {
		return err
	}
	if err := makeCgroups(cgroupFS); err != nil {
		return err
	}
	for _, p := range programs {
		path, err := p.path()
		if err != nil {
			return err
		}
		switch p.name {
		case "hyper":
			c.hyper = path
		case "helm":
			c.helm = path
		case "pause":
			c.pause = path
		}
	}
	if err := network(); err != nil {
		return err
	}
	if err := c.configure(o); err != nil {
		return err
	}
	cert, err := tls.LoadX509KeyPair(c.path("pki/kubernetes-admin.crt"), c.path("pki/kubernetes-admin.key"))
	if err != nil {
		return err
	}
	// The server is the only one at that address: its certificate is not looked at.
	c.client = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, // no connection is left when the cluster ends
		TLSClientConfig:   &tls.Config{Certificates: []tls.Certificate{cert}, InsecureSkipVerify: true},
	}}
	return c.startAll()
}

// ready says whether the node takes pods: it says so itself, and the account
// that pods run under is there.
func (c *Cluster) ready() bool {
	var node struct {
		Status struct {
			Conditions []struct{ Type, Status string }
		}
	}
	body, err := c.get("/api/v1/nodes/node1")
	if err != nil || json.Unmarshal(body, &node) != nil {
		return false
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == "Ready" && condition.Status == "True" {
			_, err := c.get("/api/v1/namespaces/default/serviceaccounts/default")
			return err == nil
		}
	}
	return false
}

func (c *Cluster) get(path string) ([]byte, error) {
	resp, err := c.client.Get("https://" + NodeIP + path)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return body, err
}

// Kubectl is a kubectl command as kubernetes-admin.
func (c *Cluster) Kubectl(args ...string) *exec.Cmd {
	args = append([]string{"kubectl", "--kubeconfig", c.Kubeconfig, "--cache-dir", c.path("kubectl-cache")}, args...)
	return exec.Command(c.hyper, args...)
}

// Helm is a helm command as kubernetes-admin.
func (c *Cluster) Helm(args ...string) *exec.Cmd {
	cmd := exec.Command(c.helm, append([]string{"--kubeconfig", c.Kubeconfig}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+c.path("helm-home"),
		"XDG_CACHE_HOME=", "XDG_CONFIG_HOME=", "XDG_DATA_HOME=") // below HOME then
	return cmd
}

// OnNode is a command in the node's network namespace, with the host's file
// systems and processes.
func (c *Cluster) OnNode(program string, args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--net=/run/netns/" + netns, program}, args...)...)
}

// Run runs a command to its end and returns its standard output; it fails the
// test if the command fails.
func (c *Cluster) Run(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("%s: %v\n%s%s", cmd, err, out, exit.Stderr)
		}
		t.Fatalf("%s: %v", cmd, err)
	}
	return string(out)
}

func (c *Cluster) ctr(args ...string) *exec.Cmd {
	return exec.Command("ctr", append([]string{"--address", c.Socket, "--namespace", "k8s.io"}, args...)...)
}

func (c *Cluster) path(name string) string { return filepath.Join(c.dir, name) }
