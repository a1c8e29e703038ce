package cri

import (
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	api "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
)

// fake is a runtime with at most one container, in one sandbox.
type fake struct {
	api.RuntimeServiceClient
	status  *api.ContainerStatusResponse
	sandbox *api.PodSandboxStatusResponse
}

func (f *fake) Version(context.Context, *api.VersionRequest, ...grpc.CallOption) (*api.VersionResponse, error) {
	return &api.VersionResponse{RuntimeName: "containerd"}, nil
}

func (f *fake) ListContainers(context.Context, *api.ListContainersRequest, ...grpc.CallOption) (*api.ListContainersResponse, error) {
	if f.status == nil {
		return &api.ListContainersResponse{}, nil
	}
	return &api.ListContainersResponse{Containers: []*api.Container{{Id: "c", PodSandboxId: "s"}}}, nil
}

func (f *fake) ContainerStatus(context.Context, *api.ContainerStatusRequest, ...grpc.CallOption) (*api.ContainerStatusResponse, error) {
	return f.status, nil
}

func (f *fake) PodSandboxStatus(context.Context, *api.PodSandboxStatusRequest, ...grpc.CallOption) (*api.PodSandboxStatusResponse, error) {
	if f.sandbox == nil {
		return nil, status.Error(codes.NotFound, "no sandbox")
	}
	return f.sandbox, nil
}

// sandbox is a pod as containerd tells it.
func sandbox() *api.PodSandboxStatusResponse {
	return &api.PodSandboxStatusResponse{
		Status: &api.PodSandboxStatus{
			Metadata: &api.PodSandboxMetadata{Name: "web-1", Namespace: "shop", Uid: "u"},
			Labels:   map[string]string{"app": "web", "long": "0123456789x"}, Annotations: map[string]string{"a": "b"},
			Network: &api.PodSandboxNetworkStatus{Ip: "10.1.2.3"},
			Linux: &api.LinuxPodSandboxStatus{Namespaces: &api.Namespace{Options: &api.NamespaceOption{
				Pid: api.NamespaceMode_NODE, Network: api.NamespaceMode_POD, Ipc: api.NamespaceMode_NODE,
			}}},
		},
		Info: map[string]string{"info": `{"image":"pause:3","cniResult":{"Interfaces":{"lo":{},"veth1":{},"eth0":{"IPConfigs":[{"IP":"10.1.2.3"}]}}}}`},
	}
}

// labels are the labels of a container of the pod above.
var labels = map[string]string{
	"io.kubernetes.pod.name": "web-1", "io.kubernetes.pod.namespace": "shop", "io.kubernetes.pod.uid": "u", "io.kubernetes.sandbox.id": "s",
}

const told = `{"config":{"image":{"image":"sha256:77"},"linux":{"security_context":{"privileged":true}}},
	"runtimeSpec":{"annotations":{"io.kubernetes.cri.image-name":"host:5/shop/web:v2"}}}`

func TestFind(t *testing.T) {
	type image struct{ name, ref, user, info string }
	for name, tt := range map[string]struct {
		image image
		want  container.Container // its image alone
	}{
		"name and digest": {image{name: "host:5/shop/web:v1", ref: "host:5/shop/web@sha256:aa", info: told},
			container.Container{Image: "host:5/shop/web:v1", ImageRepository: "host:5/shop/web", ImageTag: "v1", ImageDigest: "sha256:aa", ImageID: "77", Privileged: true}},
		"digest alone": {image{name: "shop/web:v1", ref: "sha256:aa"},
			container.Container{Image: "shop/web:v1", ImageRepository: "shop/web", ImageTag: "v1", ImageDigest: "sha256:aa", ImageID: "id"}},
		"name in an annotation": {image{name: "sha256:aa", ref: "sha256:aa", info: told},
			container.Container{Image: "host:5/shop/web:v2", ImageRepository: "host:5/shop/web", ImageTag: "v2", ImageDigest: "sha256:aa", ImageID: "77", Privileged: true}},
		"name of the user": {image{name: "sha256:aa", ref: "sha256:aa", user: "web:v3"},
			container.Container{Image: "web:v3", ImageRepository: "web", ImageTag: "v3", ImageDigest: "sha256:aa", ImageID: "id"}},
		"id alone":                 {image{name: "sha256:aa", ref: "sha256:aa"}, container.Container{Image: "sha256:aa", ImageDigest: "sha256:aa", ImageID: "id"}},
		"no tag":                   {image{name: "web@sha256:aa", ref: "web@sha256:aa"}, container.Container{Image: "web", ImageRepository: "web", ImageDigest: "sha256:aa", ImageID: "id"}},
		"info that cannot be read": {image{name: "web", ref: "", info: `{"config":[`}, container.Container{Image: "web", ImageRepository: "web", ImageID: "id"}},
	} {
		f := &fake{sandbox: sandbox(), status: &api.ContainerStatusResponse{
			Status: &api.ContainerStatus{
				Metadata: &api.ContainerMetadata{Name: "web"}, Labels: map[string]string{"long": "0123456789x"},
				Image: &api.ImageSpec{Image: tt.image.name, UserSpecifiedImage: tt.image.user}, ImageRef: tt.image.ref, ImageId: "sha256:id",
				Mounts: []*api.Mount{{HostPath: "/etc", ContainerPath: "/host", Readonly: true, Propagation: api.MountPropagation_PROPAGATION_BIDIRECTIONAL}},
			},
			Info: map[string]string{"info": tt.image.info},
		}}
		want := tt.want
		want.ID, want.FullID, want.Type, want.Name, want.Labels, want.IP = "c", "c", "containerd", "web", labels, "10.1.2.3"
		want.HostPID, want.HostIPC, want.CNI = true, true, `[{"IPConfigs":[{"IP":"10.1.2.3"}]}]`
		want.Mounts = []container.Mount{{Source: "/etc", Dest: "/host", Propagation: "rshared"}}
		want.Pod = &container.Pod{
			Name: "web-1", Namespace: "shop", UID: "u", SandboxID: "s", IP: "10.1.2.3", CNI: want.CNI,
			Labels: map[string]string{"app": "web", "annotation.a": "b"},
		}
		c := &Client{runtime: f, labelMax: 10}
		got, err := c.Find(t.Context(), "c")
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(container.Container{})); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}

		// Without the sandbox, the container's own labels count; their absence is
		// no error.
		f.sandbox, f.status.Status.Labels = nil, labels
		if got, err := c.Find(t.Context(), "c"); err != nil || got.Pod == nil || got.Pod.Name != "web-1" || got.IP != "" {
			t.Errorf("%s: without the sandbox: %+v, %v", name, got, err)
		}
		f.status = &api.ContainerStatusResponse{}
		if got, err := c.Find(t.Context(), "c"); err != nil || got.FullID != "c" {
			t.Errorf("%s: an empty status: %+v, %v", name, got, err)
		}
	}
}

func TestFindSandbox(t *testing.T) {
	c := &Client{runtime: &fake{sandbox: sandbox()}, labelMax: 100}
	got, err := c.Find(t.Context(), "s")
	if err != nil || got.Image != "pause:3" || got.Pod.Name != "web-1" || got.Privileged || !got.HostPID {
		t.Errorf("%+v, %v", got, err)
	}
	c.runtime = &fake{}
	if _, err := c.Find(t.Context(), "s"); !errors.Is(err, container.ErrNotFound) {
		t.Errorf("neither container nor sandbox: %v", err)
	}
	c.runtime = &fake{sandbox: &api.PodSandboxStatusResponse{}}
	if got, err := c.Find(t.Context(), "s"); err != nil || got.FullID != "s" {
		t.Errorf("an empty sandbox: %+v, %v", got, err)
	}
}

// A result of the network plugin that is too long is left out.
func TestLongCNI(t *testing.T) {
	for n, want := range map[int]bool{100: true, maxCNI: false} {
		_, cni := sandboxInfo(`{"cniResult":{"interfaces":{"eth0":"`+strings.Repeat("x", n)+`"}}}`, nil)
		if (cni != "") != want {
			t.Errorf("of %d bytes: %.40q", n, cni)
		}
	}
}

// A socket at which something else answers, or nothing does, is an error in
// time.
func TestNotARuntime(t *testing.T) {
	for name, answer := range map[string]string{"hangs": "", "HTTP": "HTTP/1.1 400 Bad Request\r\n\r\n", "garbage": strings.Repeat("\x00\xff", 1<<16)} {
		path := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				_, _ = io.WriteString(conn, answer) // the client may have gone
			}
		}()
		c, err := New(path, 10, []string{"create"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := c.List(ctx); err == nil {
			t.Errorf("%s: listed", name)
		}
		if _, err := c.Find(ctx, "x"); err == nil {
			t.Errorf("%s: found", name)
		}
		if err := c.Follow(ctx, func(string) {}); err == nil {
			t.Errorf("%s: followed", name)
		}
		cancel()
		c.Close()
	}
}
