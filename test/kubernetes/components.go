package kubernetes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

// components are in the order in which they are ended, with how long each may
// take.
var components = []struct {
	name     string
	patience time.Duration
}{
	{"kube-controller-manager", 5 * time.Second}, {"kube-scheduler", 5 * time.Second}, {"kubelet", 5 * time.Second},
	{"kube-apiserver", time.Second}, // it would wait for watchers
	{"etcd", 5 * time.Second}, {"containerd", 5 * time.Second},
}

func (c *Cluster) startAll() error {
	if err := errors.Join(c.start("containerd", "containerd", "--config", c.path("containerd.toml")), c.startEtcd(), c.startAPIServer()); err != nil {
		return err
	}
	// The pause image must be there before the first pod; containerd is up
	// before the API server.
	if err := wait(30*time.Second, "containerd", func() bool { return c.ctr("version").Run() == nil }); err != nil {
		return err
	}
	pause := Image{Tag: "localhost/pause:1", Files: map[string]string{"/pause": c.pause}, Entrypoint: []string{"/pause"}}
	if err := c.load(pause); err != nil {
		return err
	}
	// Controllers exit when there is no API server.
	if err := wait(time.Minute, "the API server", func() bool { _, err := c.get("/readyz"); return err == nil }); err != nil {
		return err
	}
	if err := errors.Join(c.startControllers(), c.startKubelet()); err != nil {
		return err
	}
	return wait(time.Minute, "the node to be ready", c.ready)
}

func (c *Cluster) startEtcd() error {
	const client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
	return c.start("etcd", c.hyper, "etcd", "--data-dir", c.path("etcd"), "--unsafe-no-fsync",
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
}

func (c *Cluster) startAPIServer() error {
	pki := c.path("pki")
	return c.start("kube-apiserver", c.hyper, "kube-apiserver",
		"--etcd-servers=http://127.0.0.1:2379", "--bind-address=0.0.0.0", "--secure-port=443", "--advertise-address="+NodeIP,
		"--service-cluster-ip-range="+serviceNet, "--endpoint-reconciler-type=none", "--profiling=false",
		"--tls-cert-file="+pki+"/apiserver.crt", "--tls-private-key-file="+pki+"/apiserver.key", "--client-ca-file="+pki+"/ca.crt",
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-signing-key-file="+pki+"/service-accounts.key", "--service-account-key-file="+pki+"/service-accounts.key",
		"--kubelet-client-certificate="+pki+"/kubelet-client.crt", "--kubelet-client-key="+pki+"/kubelet-client.key",
		"--kubelet-certificate-authority="+pki+"/ca.crt", "--kubelet-preferred-address-types=InternalIP",
		"--audit-policy-file="+c.path("audit-policy.yaml"), "--audit-webhook-config-file="+c.path("audit-webhook.kubeconfig"),
		"--audit-webhook-batch-max-wait=1s", "--audit-webhook-initial-backoff=1s")
}

func (c *Cluster) startControllers() error {
	config := func(user string) []string {
		path := c.path(user + ".kubeconfig")
		return []string{"--kubeconfig=" + path, "--authentication-kubeconfig=" + path, "--authorization-kubeconfig=" + path,
			"--bind-address=127.0.0.1", "--leader-elect=false", "--profiling=false"}
	}
	manager := append([]string{"kube-controller-manager", "--use-service-account-credentials=true", "--allocate-node-cidrs=false",
		"--service-account-private-key-file=" + c.path("pki/service-accounts.key"), "--root-ca-file=" + c.path("pki/ca.crt")},
		config("system:kube-controller-manager")...)
	scheduler := append([]string{"kube-scheduler"}, config("system:kube-scheduler")...)
	return errors.Join(c.start("kube-controller-manager", c.hyper, manager...), c.start("kube-scheduler", c.hyper, scheduler...))
}

func (c *Cluster) startKubelet() error {
	return c.start("kubelet", c.hyper, "kubelet", "--config="+c.path("kubelet.yaml"), "--kubeconfig="+c.path("system:node:node1.kubeconfig"),
		"--root-dir="+c.path("kubelet"), "--cert-dir="+c.path("kubelet/pki"), "--hostname-override=node1", "--node-ip="+NodeIP,
		// Hidden flags: series per container in /metrics/cadvisor.
		"--containerd="+c.Socket, "--containerd-namespace=k8s.io")
}

// webhook returns the kubeconfig of the audit webhook.
func (o Options) webhook() []byte {
	if len(o.AuditWebhook) > 0 {
		return o.AuditWebhook
	}
	return []byte(`apiVersion: v1
kind: Config
current-context: sensor
clusters: [{name: sensor, cluster: {server: "http://127.0.0.1:9765/k8s-audit"}}]
contexts: [{name: sensor, context: {cluster: sensor, user: ""}}]
`)
}

// Stop ends the cluster and removes everything of it.
func (c *Cluster) Stop() error {
	defer c.lock.Close()
	// Pods end while there is a kubelet: their mounts, addresses and shims go
	// with them. The makers of pods go first, or the pods would come back.
	errs := []error{end(c.dir, "kube-controller-manager", 5*time.Second), end(c.dir, "kube-scheduler", 5*time.Second)}
	if noted(c.dir, "kubelet") != 0 && noted(c.dir, "kube-apiserver") != 0 {
		cmd := c.Kubectl("delete", "pods", "--all", "--all-namespaces", "--grace-period=1", "--timeout=2m")
		if out, err := cmd.CombinedOutput(); err != nil {
			errs = append(errs, fmt.Errorf("delete all pods: %w: %s", err, out))
		}
	}
	return errors.Join(append(errs, takeDown(c.dir))...)
}

// takeDown removes the remains of the cluster in dir, in any state.
func takeDown(dir string) error {
	if _, err := os.Stat(dir); err != nil {
		return nil
	}
	boot := procfs.Host.BootID()
	note, err := os.ReadFile(filepath.Join(dir, "outside"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	made, ok := created(string(note), boot)
	if !ok {
		return removeTree(dir) // nothing was started, or a reboot ended it
	}
	var errs []error
	for _, component := range components {
		if component.name == "etcd" {
			killCgroups(cgroupFS) // the pods that a killed kubelet left; shims follow them
		}
		errs = append(errs, end(dir, component.name, component.patience))
	}
	errs = append(errs, killShims(dir))
	if err := wait(5*time.Second, "cgroups to be empty", func() bool { return removeCgroups(cgroupFS) == nil }); err != nil {
		errs = append(errs, err, removeCgroups(cgroupFS))
	}
	errs = append(errs, restoreSysctls(dir))
	for _, path := range made {
		errs = append(errs, removeTree(path))
	}
	if _, err := os.Stat("/run/netns/" + netns); err == nil {
		if out, err := exec.Command("ip", "netns", "delete", netns).CombinedOutput(); err != nil {
			errs = append(errs, fmt.Errorf("delete the network namespace: %w: %s", err, out))
		}
	}
	// At once, not when the kernel removes the namespace. It fails if the link is gone.
	_ = exec.Command("ip", "link", "delete", "peregrine-k8s").Run()
	if err := errors.Join(errs...); err != nil {
		return err // the notes stay for the next attempt
	}
	return removeTree(dir)
}

// Logs returns the end of every component's log.
func (c *Cluster) Logs() string {
	var out strings.Builder
	paths, _ := filepath.Glob(c.path("*.log"))
	for _, path := range paths {
		content, _ := os.ReadFile(path)
		lines := strings.SplitAfter(string(content), "\n")
		fmt.Fprintf(&out, "== %s\n%s", filepath.Base(path), strings.Join(lines[max(0, len(lines)-20):], ""))
	}
	return out.String()
}
