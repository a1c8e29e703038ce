// Package kubernetes gives tests a real Kubernetes of one node: etcd, API
// server, controller manager, scheduler and kubelet, compiled from their Go
// modules, on Debian's containerd, runc and CNI plugins. It needs root, and
// neither a registry nor systemd. It starts in about 8 s.
//
// A test gets a cluster of its own; its objects are removed with it:
//
//	func TestChart(t *testing.T) {
//		c := kubernetes.Up(t, kubernetes.Options{})
//		c.Import(t, kubernetes.Image{
//			Tag:        "localhost/peregrine:test",
//			Files:      map[string]string{"/peregrine": binary},
//			Entrypoint: []string{"/peregrine"},
//		})
//		c.Run(t, c.Helm("install", "peregrine", chart, "--wait"))
//		out := c.Run(t, c.Kubectl("get", "pods", "-o", "json"))
//	}
//
// Images are named localhost/name:tag and used with imagePullPolicy Never or
// IfNotPresent: there is nothing to pull from.
//
// The cluster lives in a network namespace of its own. The host reaches its API
// server at https://10.99.0.1, as c.Kubeconfig says, and so do programs inside
// the namespace, where pods with hostNetwork run. A program that must share the
// node's loopback (a receiver of audit events over plain HTTP) is started with
// c.OnNode. Pods get addresses in 10.244.0.0/24 and reach the API server at
// 10.96.0.1; there is no cluster DNS and no kube-proxy, so other Services have
// no address that works.
//
// The API server sends audit events by the policy and the webhook of Options.
// It waits a second and retries if there is no receiver: start the receiver
// first.
//
// The programs are compiled once, by "make kubernetes" (10 minutes on two
// cores), and kept in Cache by a hash of their sources. Where they are missing,
// or this machine cannot run a cluster, Up skips the test and says why; with
// PEREGRINE_REQUIRE_BPF=1 it fails it.
//
// "go run ./test/kubernetes/cluster up" starts one for people, who end it with
// Ctrl-C. The next test takes down a cluster that a killed test has left. Pods
// are in the cgroup /peregrine-test-kubernetes. A machine where another kubelet
// runs is refused, and nothing there is touched.
package kubernetes
