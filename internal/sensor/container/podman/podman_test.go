package podman

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/resttest"
)

func TestMain(m *testing.M) { leaks.Main(m) }

const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// web is a container as libpod tells it, shortened.
const web = `{"Id":"` + id + `","Image":"77","ImageName":"registry:5000/shop/web:v1","ImageDigest":"sha256:aa","Name":"web","Rootfs":"",
	"Mounts":[{"Type":"volume","Name":"v","Source":"/srv","Destination":"/data","Options":["nosuid"],"Mode":"","RW":false,"Propagation":"rprivate"}],
	"Config":{"Labels":{"team":"store","long":"0123456789x"},"Annotations":{}},
	"HostConfig":{"Privileged":true,"PidMode":"host","NetworkMode":"bridge","IpcMode":"shareable"},
	"NetworkSettings":{"IPAddress":"","Networks":{"podman":{"IPAddress":"10.88.0.5"},"z":{"IPAddress":"10.89.0.5"}}}}`

func TestFind(t *testing.T) {
	c := New(resttest.Serve(t, resttest.Answers{
		api + "/containers/" + id + "/json": web,
		api + "/containers/bare/json":       `{"Id":"bare","Config":{"Labels":{"io.kubernetes.pod.name":"p"}},"Mounts":null}`,
		api + "/containers/json":            `[{"Id":"a"},{"Id":"b"}]`,
		api + "/events":                     `{"Type":"container","Action":"start","Actor":{"ID":"a"}}{"Actor":{"ID":"b"}}`,
	}), 10, []string{"start"})
	defer c.Close()
	for asked, want := range map[string]container.Container{
		id: {
			ID: id[:12], FullID: id, Type: "podman", Name: "web", Image: "registry:5000/shop/web:v1", ImageID: "77",
			ImageRepository: "registry:5000/shop/web", ImageTag: "v1", ImageDigest: "sha256:aa", Privileged: true, HostPID: true, IP: "10.88.0.5",
			Labels: map[string]string{"team": "store"}, Mounts: []container.Mount{{Source: "/srv", Dest: "/data", Propagation: "rprivate"}},
		},
		"bare": {ID: "bare", FullID: "bare", Type: "podman", Pod: &container.Pod{Name: "p"}, Labels: map[string]string{"io.kubernetes.pod.name": "p"}},
	} {
		got, err := c.Find(t.Context(), asked)
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(container.Container{})); err != nil || diff != "" {
			t.Errorf("%v\n%s", err, diff)
		}
	}
	if _, err := c.Find(t.Context(), "nosuch"); !errors.Is(err, container.ErrNotFound) {
		t.Errorf("a container that there is not: %v", err)
	}
	if ids, err := c.List(t.Context()); err != nil || strings.Join(ids, " ") != "a b" {
		t.Errorf("listed %q, %v", ids, err)
	}
	var seen []string
	if err := c.Follow(t.Context(), func(id string) { seen = append(seen, id) }); err == nil || strings.Join(seen, " ") != "a b" {
		t.Errorf("followed %q, %v", seen, err)
	}
}

func TestBadAnswers(t *testing.T) {
	for name, answer := range map[string]string{"html": "<html>", "a list": "[]", "a number": `{"Name":7}`, "empty": "", "huge": `{"Name":"` + strings.Repeat("x", 17<<20) + `"}`} {
		c := New(resttest.Serve(t, resttest.Answers{api + "/containers/x/json": answer, api + "/events": answer}), 10, nil)
		if _, err := c.Find(t.Context(), "x"); err == nil {
			t.Errorf("%s: found", name)
		}
		if err := c.Follow(t.Context(), func(string) {}); err == nil {
			t.Errorf("%s: followed", name)
		}
		c.Close()
	}
	c := New(resttest.Serve(t, resttest.Hang), 10, nil)
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.List(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a service that hangs: %v", err)
	}
}
