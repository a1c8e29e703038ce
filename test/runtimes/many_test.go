package runtimes

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	api "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/peregrine-sec/peregrine/internal/linux/cgroup"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// node is a container runtime that reports many containers as a real one does,
// each in its own pod.
type node struct {
	api.UnimplementedRuntimeServiceServer
	ids []string
}

func newNode(n int) *node {
	f := &node{}
	for i := range n {
		f.ids = append(f.ids, fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, "container ", i))))
	}
	return f
}

func (f *node) Version(context.Context, *api.VersionRequest) (*api.VersionResponse, error) {
	return &api.VersionResponse{RuntimeName: "containerd", RuntimeApiVersion: "v1"}, nil
}

func (f *node) ListContainers(_ context.Context, r *api.ListContainersRequest) (*api.ListContainersResponse, error) {
	all := &api.ListContainersResponse{}
	for _, id := range f.ids {
		if asked := r.GetFilter().GetId(); asked == "" || asked == id {
			all.Containers = append(all.Containers, &api.Container{Id: id, PodSandboxId: sandboxOf(id)})
		}
	}
	return all, nil
}

func sandboxOf(id string) string { return id[32:] + id[:32] }

func (f *node) ContainerStatus(_ context.Context, r *api.ContainerStatusRequest) (*api.ContainerStatusResponse, error) {
	if !slices.Contains(f.ids, r.ContainerId) {
		return nil, status.Error(codes.NotFound, "no such container")
	}
	s := &api.ContainerStatus{
		Id: r.ContainerId, Metadata: &api.ContainerMetadata{Name: "c-" + r.ContainerId[:8]}, Labels: labelsOf(r.ContainerId),
		Image: &api.ImageSpec{Image: "registry.example.org/team/" + r.ContainerId[:8] + ":v1"}, ImageRef: "registry.example.org/team/" + r.ContainerId[:8] + "@sha256:" + r.ContainerId,
	}
	for i := range 8 {
		s.Mounts = append(s.Mounts, &api.Mount{HostPath: fmt.Sprintf("/var/lib/kubelet/pods/%s/volumes/%d", r.ContainerId[:32], i), ContainerPath: fmt.Sprintf("/mnt/%d", i)})
	}
	// The specification that comes with it is the longest part.
	info := fmt.Sprintf(`{"config":{"image":{"image":"sha256:%s"}},"runtimeSpec":{"process":{"env":[%q]}}}`, r.ContainerId, strings.Repeat("x", 16<<10))
	return &api.ContainerStatusResponse{Status: s, Info: map[string]string{"info": info}}, nil
}

func (f *node) PodSandboxStatus(_ context.Context, r *api.PodSandboxStatusRequest) (*api.PodSandboxStatusResponse, error) {
	labels := labelsOf(r.PodSandboxId)
	for i := range 12 {
		labels[fmt.Sprintf("example.org/label-%d", i)] = r.PodSandboxId[:40]
	}
	return &api.PodSandboxStatusResponse{Status: &api.PodSandboxStatus{
		Id: r.PodSandboxId, Labels: labels, Annotations: labels, Network: &api.PodSandboxNetworkStatus{Ip: "10.1.2.3"},
		Metadata: &api.PodSandboxMetadata{Name: "p-" + r.PodSandboxId[:8], Namespace: "shop", Uid: r.PodSandboxId[:32]},
	}}, nil
}

func labelsOf(id string) map[string]string {
	return map[string]string{"io.kubernetes.pod.name": "p-" + id[:8], "io.kubernetes.pod.namespace": "shop", "io.kubernetes.pod.uid": id[:32]}
}

// serve answers at a socket.
func (f *node) serve(t testing.TB) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "cri.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	api.RegisterRuntimeServiceServer(server, f)
	go server.Serve(l)
	t.Cleanup(server.Stop)
	return socket
}

// contain runs a command in a cgroup of a container's shape until the test ends.
func contain(t testing.TB, id string, command ...string) {
	t.Helper()
	trees, err := cgroup.Trees("")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(trees, func(tree cgroup.Tree) bool { return tree.Has("cpu") }) // whose paths events have
	if i < 0 {
		t.Fatal("no cgroups")
	}
	top := filepath.Join(trees[i].Dir, "peregrine-tests-many")
	dir := filepath.Join(top, id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", append([]string{"-c", `echo 0 > "$0/cgroup.procs" && exec "$@"`, dir}, command...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // "signal: killed"
		if err := cgroup.Remove(dir); err != nil {
			t.Error(err)
		}
		_ = os.Remove(top) // only if it is empty
	})
}

// A node with 200 containers, all of which are known: the sensor stays small.
func TestManyContainers(t *testing.T) {
	need(t)
	const many, most = 200, 48 // MiB, with the default rules
	n := newNode(many)
	var args []string
	for _, file := range defaultRules(t) {
		args = append(args, "-r", file)
	}
	s := startSensor(t, tellRules, map[string]string{"cri": n.serve(t)}, args...)
	needs.Eventually(t, "all containers are known", func() bool { return s.told(t) >= many })
	app := filepath.Join(built.dir, "app")
	for _, id := range n.ids {
		contain(t, id, app, "pause", "/tell/"+id[:12])
	}
	for _, id := range n.ids {
		compare(t, s.await(t, "an alert of each", tells("/tell/"+id[:12])), map[string]string{
			"container.id": id[:12], "container.name": "c-" + id[:8], "container.image.repository": "registry.example.org/team/" + id[:8], "container.image.tag": "v1",
			"k8s.pod.name": "p-" + sandboxOf(id)[:8], "k8s.pod.ip": "10.1.2.3",
		})
	}
	t.Logf("%d containers: %d MiB resident", many, s.resident(t, most))
}
