package kubernetes

import (
	"embed"
	"os"
	"path/filepath"
	"text/template"
)

// Addresses of the cluster: the node's, the host's end of the link to it, and
// that of the API server's Service, which the node's loopback has.
const (
	NodeIP     = "10.99.0.1"
	HostIP     = "10.99.0.254"
	serviceIP  = "10.96.0.1"
	serviceNet = "10.96.0.0/16"
)

//go:embed node
var files embed.FS

var templates = template.Must(template.ParseFS(files, "node/*"))

// users are those that the API server knows by certificate: name, group.
var users = map[string]string{
	"kubernetes-admin":               "system:masters",
	"system:kube-controller-manager": "",
	"system:kube-scheduler":          "",
	"system:node:node1":              "system:nodes",
}

// configure writes certificates, keys and configuration files.
func (c *Cluster) configure(o Options) error {
	ca, err := newAuthority(c.path("pki"))
	if err != nil {
		return err
	}
	if err := ca.issue("apiserver", "kube-apiserver", "", "kubernetes.default.svc", "localhost", "127.0.0.1", serviceIP, NodeIP); err != nil {
		return err
	}
	if err := ca.issue("kubelet", "system:node:node1", "system:nodes", "node1", "127.0.0.1", NodeIP); err != nil {
		return err
	}
	// The API server calls the kubelet for logs and exec.
	if err := ca.issue("kubelet-client", "kube-apiserver-kubelet-client", "system:masters"); err != nil {
		return err
	}
	if _, err := ca.writeKey("service-accounts"); err != nil {
		return err
	}
	for user, group := range users {
		if err := ca.issue(user, user, group); err != nil {
			return err
		}
		if err := c.render("kubeconfig.yaml", user+".kubeconfig", user); err != nil {
			return err
		}
	}
	for name, to := range map[string]string{
		"containerd.toml": "containerd.toml", "kubelet.yaml": "kubelet.yaml", "network.conflist": "cni/10-bridge.conflist",
		"audit-policy.yaml": "audit-policy.yaml",
	} {
		if err := c.render(name, to, ""); err != nil {
			return err
		}
	}
	if len(o.AuditPolicy) > 0 {
		if err := os.WriteFile(c.path("audit-policy.yaml"), o.AuditPolicy, 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(c.path("audit-webhook.kubeconfig"), o.webhook(), 0o600)
}

func (c *Cluster) render(name, to, user string) error {
	path := c.path(to)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	return templates.ExecuteTemplate(f, name, struct{ Dir, Socket, NodeIP, User, CgroupRoot string }{c.dir, c.Socket, NodeIP, user, cgroupRoot})
}
