package container

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParse(t *testing.T) {
	got, err := Parse([]byte(`{"container": {
		"id": "3ad7b26ded6d", "full_id": "` + idA + `", "type": 7, "name": "web", "image": "docker.io/nginx:1.2", "imageid": "abc",
		"imagerepo": "docker.io/nginx", "imagetag": "1.2", "imagedigest": "sha256:1", "privileged": true, "host_network": true, "ip": "10.0.0.2",
		"Mounts": [{"Source": "/host", "Destination": "/data", "Mode": "Z", "RW": true, "Propagation": "rprivate"}],
		"labels": {"io.kubernetes.pod.name": "p", "io.kubernetes.pod.namespace": "ns", "io.kubernetes.pod.uid": "u", "app": "x"},
		"pod_sandbox_id": "s", "pod_sandbox_labels": {"tier": "front"}, "unknown": [1, 2]
	}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := Container{
		ID: "3ad7b26ded6d", FullID: idA, Type: Containerd, Name: "web", Image: "docker.io/nginx:1.2", ImageID: "abc",
		ImageRepository: "docker.io/nginx", ImageTag: "1.2", ImageDigest: "sha256:1", Privileged: true, HostNetwork: true, IP: "10.0.0.2",
		Mounts: []Mount{{"/host", "/data", "Z", true, "rprivate"}},
		Labels: map[string]string{"io.kubernetes.pod.name": "p", "io.kubernetes.pod.namespace": "ns", "io.kubernetes.pod.uid": "u", "app": "x"},
		Pod:    &Pod{Name: "p", Namespace: "ns", UID: "u", SandboxID: "s", Labels: map[string]string{"tier": "front"}},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(Container{})); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, bad := range []string{"", "{", "[]", `{"container": {}}`, `{"container": 5}`, `{"container": {"id": 5}}`} {
		if c, err := Parse([]byte(bad)); err == nil {
			t.Errorf("Parse(%q) = %+v", bad, c)
		}
	}
}

// Metadata is read as it was written.
func TestMetadataRoundTrip(t *testing.T) {
	for _, c := range []Container{
		{ID: "3ad7b26ded6d", FullID: idA, Type: Podman, Name: "web", Image: "nginx", ImageID: "abc", Privileged: true, HostIPC: true, CNI: `{"a":1}`},
		{ID: "n", FullID: "n", Type: LXC, Labels: map[string]string{"a": "b"}, Mounts: []Mount{{Source: "/", RW: true}}},
		{ID: "3ad7b26ded6d", FullID: idA, Type: CRIO, Pod: &Pod{Name: "p", Namespace: "ns", UID: "u", SandboxID: "s", IP: "10.1.1.1", CNI: "{}", Labels: map[string]string{"x": "y"},
			Workload: &Workload{Deployment: Object{Name: "d", UID: "1", Labels: map[string]string{"a": "b"}}, Services: []Object{{Name: "s"}}}}},
	} {
		got, err := Parse(c.Metadata())
		if err != nil {
			t.Fatal(err)
		}
		if c.Pod != nil { // the runtimes tell a pod by these
			c.Labels = map[string]string{LabelPodName: "p", LabelPodNamespace: "ns", LabelPodUID: "u"}
		}
		if diff := cmp.Diff(c, got, cmpopts.IgnoreUnexported(Container{})); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}
