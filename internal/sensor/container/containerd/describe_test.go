package containerd

import (
	"testing"

	event "github.com/containerd/containerd/api/events"
	containers "github.com/containerd/containerd/api/services/containers/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func TestDescribe(t *testing.T) {
	const apart = `"namespaces":[{"type":"pid"},{"type":"network"},{"type":"ipc"}]`
	for name, tt := range map[string]struct {
		spec string
		want container.Container
	}{
		"confined": {`{"mounts":[{"destination":"/d","type":"bind","source":"/s","options":["rbind","ro","rprivate","mode=755"]}],
			"linux":{` + apart + `,"maskedPaths":["/proc/kcore"]}}`,
			container.Container{Mounts: []container.Mount{{Source: "/s", Dest: "/d", Mode: "755", Propagation: "rprivate"}}}},
		"privileged":           {`{"linux":{` + apart + `}}`, container.Container{Privileged: true}},
		"seccomp":              {`{"linux":{` + apart + `,"seccomp":{}}}`, container.Container{}},
		"apparmor":             {`{"process":{"apparmorProfile":"x"},"linux":{` + apart + `}}`, container.Container{}},
		"cgroups to read only": {`{"mounts":[{"destination":"/c","type":"cgroup","source":"cgroup","options":["ro"]}],"linux":{` + apart + `}}`, container.Container{Mounts: []container.Mount{{Source: "cgroup", Dest: "/c"}}}},
		"the host's":           {`{"linux":{"namespaces":[{"type":"network"}],"readonlyPaths":["/sys"]}}`, container.Container{HostPID: true, HostIPC: true}},
		"no specification":     {``, container.Container{}},
		"garbage":              {`{"linux":7}`, container.Container{}},
	} {
		c := &Client{labelMax: 3}
		want := tt.want
		want.ID, want.FullID, want.Type, want.Name = "shortname-of-one", "shortname-of-one", "containerd", "shortname-of"
		want.Image, want.ImageRepository, want.ImageTag, want.ImageDigest = "host:5/web:v1", "host:5/web", "v1", "sha256:aa"
		want.Labels = map[string]string{"a": "b"}
		got := c.describe(&containers.Container{
			ID: "shortname-of-one", Image: "host:5/web:v1", Labels: map[string]string{"a": "b", "long": "1234"}, Spec: &anypb.Any{Value: []byte(tt.spec)},
		}, "sha256:aa")
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(container.Container{})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestSubject(t *testing.T) {
	create, err := proto.Marshal(&event.ContainerCreate{ID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	start, err := proto.Marshal(&event.TaskStart{ContainerID: "b"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		topic string
		event []byte
		want  string
	}{
		{"/containers/create", create, "a"}, {"/tasks/start", start, "b"}, {"/tasks/exit", start, ""},
		{"/containers/create", []byte("\xff\xff"), ""}, {"/tasks/start", []byte{0xff}, ""}, {"", nil, ""},
	} {
		if got := subject(&types.Envelope{Topic: tt.topic, Event: &anypb.Any{Value: tt.event}}); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.topic, got, tt.want)
		}
	}
	if got := subject(nil); got != "" {
		t.Errorf("nothing: %q", got)
	}
}
