package docker

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/container/rest"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/resttest"
)

func TestMain(m *testing.M) { leaks.Main(m) }

const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// web is a container as dockerd tells it, shortened.
const web = `{"Id":"` + id + `","Created":"2026-01-02T03:04:05.6Z","State":{"Status":"running"},"Image":"sha256:77","Name":"/web",
	"Mounts":[{"Type":"bind","Source":"/srv","Destination":"/data","Mode":"Z","RW":true,"Propagation":"rprivate"}],
	"Config":{"Image":"nginx","Labels":{"team":"store","long":"0123456789x"}},
	"HostConfig":{"Privileged":true,"PidMode":"host","NetworkMode":"default","IpcMode":"private"},
	"NetworkSettings":{"IPAddress":"172.17.0.2","Networks":{"bridge":{"IPAddress":"172.17.0.2"}}}}`

const image = `{"Id":"sha256:77","RepoTags":["other:9","nginx:1.29"],"RepoDigests":["other@sha256:00","docker.io/library/nginx@sha256:aa"]}`

// variant is web with some texts replaced.
func variant(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(web) }

func TestFind(t *testing.T) {
	whole := container.Container{
		ID: id[:12], FullID: id, Type: "docker", Name: "web", Image: "nginx", ImageID: "77", ImageRepository: "nginx", ImageTag: "1.29", ImageDigest: "sha256:aa",
		Privileged: true, HostPID: true, IP: "172.17.0.2", Labels: map[string]string{"team": "store"},
		Mounts: []container.Mount{{Source: "/srv", Dest: "/data", Mode: "Z", RW: true, Propagation: "rprivate"}},
	}
	with := func(change func(*container.Container)) container.Container {
		c := whole
		change(&c)
		return c
	}
	for name, tt := range map[string]struct {
		answer string
		want   container.Container
	}{
		"whole": {web, whole},
		"image by id": {variant(`"Image":"nginx"`, `"Image":"sha256:77"`), with(func(c *container.Container) {
			c.Image, c.ImageRepository, c.ImageTag, c.ImageDigest = "sha256:77", "other", "9", "sha256:00"
		})},
		"image by digest": {variant(`"Image":"nginx"`, `"Image":"nginx@sha256:aa"`), with(func(c *container.Container) { c.Image = "nginx@sha256:aa" })},
		"image by the beginning of its id": {variant(`"Image":"nginx"`, `"Image":"7"`), with(func(c *container.Container) {
			c.Image, c.ImageRepository, c.ImageTag, c.ImageDigest = "7", "other", "9", "sha256:00"
		})},
		"user network, two of them": {variant(`"IPAddress":"172.17.0.2","Networks":{"bridge":{"IPAddress":"172.17.0.2"}}`,
			`"IPAddress":"","Networks":{"b":{"IPAddress":"10.2.0.1"},"a":{"IPAddress":"10.1.0.1"},"0":{"IPAddress":""}}`),
			with(func(c *container.Container) { c.IP = "10.1.0.1" })},
		"another's network": {variant(`"IPAddress":"172.17.0.2","Networks":{"bridge":{"IPAddress":"172.17.0.2"}}`, `"IPAddress":"","Networks":{}`, `"default"`, `"container:other"`),
			with(func(c *container.Container) { c.IP = "172.17.0.9" })},
		"host's": {variant(`"default"`, `"host"`, `"IpcMode":"private"`, `"IpcMode":"host"`, `"Privileged":true,`, ``), with(func(c *container.Container) {
			c.HostNetwork, c.HostIPC, c.Privileged = true, true, false
		})},
		"of a pod": {variant(`"long"`, `"io.kubernetes.pod.name":"p","io.kubernetes.pod.namespace":"n","io.kubernetes.pod.uid":"u","long"`), with(func(c *container.Container) {
			c.Labels = map[string]string{"team": "store", "io.kubernetes.pod.name": "p", "io.kubernetes.pod.namespace": "n", "io.kubernetes.pod.uid": "u"}
			c.Pod = &container.Pod{Name: "p", Namespace: "n", UID: "u"}
		})},
		"nulls": {`{"Id":"` + id + `","Name":null,"Config":{"Labels":null},"NetworkSettings":{"Networks":null},"Mounts":null}`,
			container.Container{ID: id[:12], FullID: id, Type: "docker"}},
	} {
		c := New(resttest.Serve(t, resttest.Answers{
			"/containers/" + id + "/json": tt.answer, "/images/sha256:77/json": image,
			"/containers/other/json": `{"Id":"other","NetworkSettings":{"IPAddress":"172.17.0.9"}}`,
		}), 10, nil)
		got, err := c.Find(t.Context(), id)
		if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreUnexported(container.Container{})); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
		c.Close()
	}
}

// Without its image, the facts in the container itself remain.
func TestImageGone(t *testing.T) {
	c := New(resttest.Serve(t, resttest.Answers{"/containers/" + id + "/json": web}), 10, nil)
	defer c.Close()
	if got, err := c.Find(t.Context(), id); err != nil || got.ImageRepository != "nginx" || got.ImageDigest != "" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := c.Find(t.Context(), "nosuch"); !errors.Is(err, container.ErrNotFound) {
		t.Errorf("a container that there is not: %v", err)
	}
}

func TestListAndFollow(t *testing.T) {
	var query string
	c := New(resttest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/containers/json":
			_, _ = w.Write([]byte(`[{"Id":"a","Names":["/x"]},{"Id":"b"}]`))
		case "/events":
			query = r.URL.Query().Get("filters")
			_, _ = w.Write([]byte(`{"Type":"container","Action":"create","Actor":{"ID":"a","Attributes":{"image":"x"}}}{"Actor":{"ID":"b"}}`))
		}
	})), 10, []string{"create", "start"})
	defer c.Close()
	if ids, err := c.List(t.Context()); err != nil || strings.Join(ids, " ") != "a b" {
		t.Errorf("listed %q, %v", ids, err)
	}
	var seen []string
	if err := c.Follow(t.Context(), func(id string) { seen = append(seen, id) }); err == nil || strings.Join(seen, " ") != "a b" {
		t.Errorf("followed %q, %v", seen, err)
	}
	var filters map[string][]string
	if json.Unmarshal([]byte(query), &filters) != nil || strings.Join(filters["event"], " ") != "create start" {
		t.Errorf("filters %q", query)
	}
}

// Garbage, oversized and empty answers are errors, and cost nothing else.
func TestBadAnswers(t *testing.T) {
	huge := `{"Name":"` + strings.Repeat("x", 17<<20) + `"}`
	for name, answer := range map[string]string{"html": "<html>", "a list": "[]", "a number": `{"Name":7}`, "empty": "", "huge": huge, "deep": strings.Repeat(`{"a":`, 20000)} {
		c := New(resttest.Serve(t, resttest.Answers{"/containers/x/json": answer, "/containers/json": answer, "/events": answer}), 10, nil)
		if _, err := c.Find(t.Context(), "x"); err == nil {
			t.Errorf("%s: found", name)
		}
		if ids, err := c.List(t.Context()); err == nil && len(ids) > 0 {
			t.Errorf("%s: listed %q", name, ids)
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
	if _, err := c.Find(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, rest.ErrAnswer) {
		t.Errorf("a daemon that hangs: %v", err)
	}
}
