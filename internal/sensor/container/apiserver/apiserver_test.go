package apiserver

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func TestMain(m *testing.M) { leaks.Main(m) }

var web = map[string]string{"app": "web", "tier": "x"}

// whole is the workload of a pod with the labels web.
var whole = &container.Workload{
	ReplicaSet: container.Object{Name: "web-7c", UID: "r", Labels: map[string]string{"hash": "7c"}},
	Deployment: container.Object{Name: "web", UID: "d", Labels: map[string]string{"app": "web"}},
	Namespace:  container.Object{Name: "shop", UID: "n", Labels: map[string]string{"team": "store"}},
	Services:   []container.Object{{Name: "front", UID: "s1", Labels: map[string]string{"a": "b"}}, {Name: "web", UID: "s2"}},
}

func TestListAndWatch(t *testing.T) {
	t.Parallel()
	c := newCluster()
	c.set(podsPath, list(pod("a", ofReplicaSet, web), pod("b", ofReplicaSet, nil)))
	h := start(t, c, Address{})
	if diff := cmp.Diff(told{"a", whole}, h.next(t), cmp.AllowUnexported(told{})); diff != "" {
		t.Error(diff)
	}
	if got := h.next(t); got.uid != "b" || got.w.Deployment.Name != "web" || got.w.Services != nil {
		t.Errorf("told %+v", got)
	}
	if version := <-c.watches; version != "7" || !h.Watched() {
		t.Errorf("watch from version %q, watched %v", version, h.Watched())
	}

	// A change outside the delivered facts is not delivered.
	c.events <- change("MODIFIED", pod("a", ofReplicaSet, web))
	c.events <- `{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}`
	c.events <- change("MODIFIED", pod("a", ofReplicaSet, map[string]string{"app": "db"}))
	if got := h.next(t); got.uid != "a" || len(got.w.Services) != 1 || got.w.Services[0].Name != "other" {
		t.Errorf("after a change of labels: %+v", got)
	}
	c.set("/api/v1/namespaces/shop/replicationcontrollers/old", `{"metadata":{"name":"old","uid":"c","labels":{"v":"1"}}}`)
	c.events <- change("ADDED", pod("c", `{"kind":"X","name":"x","uid":"x"},{"kind":"ReplicationController","name":"old","uid":"c","controller":true}`, nil))
	if got := h.next(t); got.uid != "c" || got.w.ReplicationController.Labels["v"] != "1" || got.w.ReplicaSet.Name != "" {
		t.Errorf("of a replication controller: %+v", got)
	}
	c.events <- change("DELETED", pod("b", ofReplicaSet, nil))
	if got := h.next(t); got.uid != "b" || got.w != nil {
		t.Errorf("after the end of a pod: %+v", got)
	}
	for path, want := range map[string]int{
		"/apis/apps/v1/namespaces/shop/replicasets/web-7c": 1, "/apis/apps/v1/namespaces/shop/deployments/web": 1,
		"/api/v1/namespaces/shop": 1, podsPath: 2,
	} {
		if n := c.times(path); n != want {
			t.Errorf("%s was asked for %d times, want %d", path, n, want)
		}
	}
	if q, _ := url.ParseQuery(c.queries[podsPath]); q.Get("fieldSelector") != "spec.nodeName=node1" {
		t.Errorf("pods of which node? %v", q)
	}
	for path, partial := range map[string]bool{podsPath: true, "/api/v1/namespaces/shop": true, "/api/v1/namespaces/shop/services": false} {
		if got := strings.Contains(c.accepts[path], "PartialObjectMetadata"); got != partial {
			t.Errorf("%s: asks for metadata alone: %v", path, got)
		}
	}
	if s := h.Status(); !s.Connected || s.Told != 4 || s.Error != "" {
		t.Errorf("%+v", s)
	}
}

// A static pod is known to the runtime by the hash in its mirror, which belongs
// to the node. Such an annotation cannot impersonate another pod.
func TestStaticPod(t *testing.T) {
	t.Parallel()
	const hash = "0123456789abcdef0123456789abcdef"
	const node = `{"kind":"Node","name":"node1","uid":"x","controller":true}`
	mirror := func(uid, of, owners string) string {
		return fmt.Sprintf(`{"metadata":{"name":"etcd","namespace":"shop","uid":%q,"annotations":{"kubernetes.io/config.mirror":%q},"ownerReferences":[%s]}}`, uid, of, owners)
	}
	c := newCluster()
	c.set(podsPath, list(
		mirror("m", hash, node),
		mirror("another pod", "8c2f8f6e-5f5c-4c1e-9d59-0c1d5a3c7b11", node),
		mirror("no owner", hash, ""),
		mirror("of a set", hash, `{"kind":"ReplicaSet","name":"node1","uid":"x","controller":true}`),
		mirror("uncontrolled", hash, `{"kind":"Node","name":"node1","uid":"x"}`),
	))
	h := start(t, c, Address{})
	for _, want := range []string{hash, "another pod", "no owner", "of a set", "uncontrolled"} {
		if got := h.next(t); got.uid != want {
			t.Errorf("told of %q, want %q", got.uid, want)
		}
	}
}

// After the end of a watch the pods are listed again: pods gone meanwhile are
// forgotten.
func TestListsAgain(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(chan string){
		"ended":      func(events chan string) { close(events) },
		"ended soon": func(events chan string) { close(events) },
		"error": func(events chan string) {
			events <- `{"type":"ERROR","object":{"code":410,"message":"too old resource version"}}`
		},
		"broken": func(events chan string) { events <- `{"type":` + "\n]" },
		"no pod": func(events chan string) { events <- change("ADDED", `{"metadata":7}`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster()
			c.set(podsPath, list(pod("a", ofReplicaSet, web), pod("b", ofReplicaSet, web)))
			h := startWith(t, c, Address{}, map[bool]time.Duration{true: 0, false: holds}[name == "ended"])
			h.next(t)
			h.next(t)
			<-c.watches
			c.set(podsPath, list(pod("b", ofReplicaSet, web)))
			c.mu.Lock()
			now := c.events
			c.events = make(chan string)
			c.mu.Unlock()
			end(now)
			if got := h.next(t); got.uid != "b" || got.w == nil {
				t.Errorf("told %+v", got)
			}
			if got := h.next(t); got.uid != "a" || got.w != nil {
				t.Errorf("told %+v", got)
			}
			<-c.watches
			if said, want := h.log.count("does not list the pods"), map[bool]int{true: 0, false: 1}[name == "ended"]; said != want {
				t.Errorf("said %d times that it ended, want %d", said, want)
			}
		})
	}
}

// Where the pods can be listed but not followed, the pauses grow as with a
// server that is away, and the log says it once.
func TestWatchFails(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*cluster){
		"refused":              func(c *cluster) { c.set(watchAnswer, "!403 forbidden") },
		"not answered":         func(c *cluster) { c.set(watchAnswer, "!0 .") },
		"cut":                  func(c *cluster) { close(c.events) },
		"question unanswered":  func(c *cluster) { c.set("/api/v1/namespaces/shop", "!0 .") },
		"watch is no watch":    func(c *cluster) { c.set(watchAnswer, "<html>") },
		"watch of other kinds": func(c *cluster) { c.set(watchAnswer, `{"type":"ADDED","object":7}`) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster()
			c.set(podsPath, list(pod("a", ofReplicaSet, web)))
			fail(c)
			begun := time.Now()
			h := start(t, c, Address{})
			needs.Eventually(t, "three lists", func() bool { return h.Status().Connects >= 3 })
			if took := time.Since(begun); took < 3*pause {
				t.Errorf("three lists in %v: the second pause is no longer than the first", took)
			}
			if connected, failed := h.log.count("server connected"), h.log.count("does not list the pods"); connected != 1 || failed != 1 {
				t.Errorf("said %d times that it is connected, %d times that it fails: %s", connected, failed, h.log.b.String())
			}
		})
	}
}

// A lasting watch is logged after one that failed, and so is the next failure
// after it.
func TestWatchHolds(t *testing.T) {
	t.Parallel()
	c := newCluster()
	c.set(podsPath, list(pod("a", ofReplicaSet, web)))
	c.set(watchAnswer, "!403 forbidden")
	h := startWith(t, c, Address{}, pause)
	failures := func() int { return h.log.count("does not list the pods") }
	needs.Eventually(t, "a failure", func() bool { return failures() > 0 })
	c.mu.Lock()
	delete(c.answers, watchAnswer)
	c.mu.Unlock()
	<-c.watches
	needs.Eventually(t, "it to be said", func() bool { return h.log.count("server connected") > 1 })
	before := failures()
	c.events <- `{"type":"ERROR","object":{"code":410,"message":"too old resource version"}}`
	needs.Eventually(t, "the next failure", func() bool { return failures() > before })
}

// Without a permission, the other facts are delivered, and the missing one is
// logged once.
func TestForbidden(t *testing.T) {
	t.Parallel()
	c := newCluster()
	c.set(podsPath, list(pod("a", ofReplicaSet, web), pod("b", ofReplicaSet, web)))
	for _, path := range []string{"/apis/apps/v1/namespaces/shop/replicasets/web-7c", "/api/v1/namespaces/shop/services", "/api/v1/namespaces/shop"} {
		c.set(path, "!403 forbidden")
	}
	h := start(t, c, Address{})
	for range 2 {
		want := &container.Workload{ReplicaSet: container.Object{Name: "web-7c", UID: "r"}, Namespace: container.Object{Name: "shop"}}
		if diff := cmp.Diff(want, h.next(t).w); diff != "" {
			t.Error(diff)
		}
	}
	<-c.watches
	if s := h.Status(); !s.Connected || !strings.Contains(s.Error, "rbac.yaml") {
		t.Errorf("%+v", s)
	}
	if n := h.log.count("does not send all"); n != 1 {
		t.Errorf("said %d times", n)
	}
}

// An unreadable answer counts as an answer: its facts are left out, and the
// pods are watched.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]*container.Workload{
		"/api/v1/namespaces/shop/services":                 {ReplicaSet: whole.ReplicaSet, Deployment: whole.Deployment, Namespace: whole.Namespace},
		"/api/v1/namespaces/shop":                          {ReplicaSet: whole.ReplicaSet, Deployment: whole.Deployment, Namespace: container.Object{Name: "shop"}, Services: whole.Services},
		"/apis/apps/v1/namespaces/shop/replicasets/web-7c": {ReplicaSet: container.Object{Name: "web-7c", UID: "r"}, Namespace: whole.Namespace, Services: whole.Services},
	} {
		for _, answer := range []string{"<html>", `{"metadata":7,"items":7}`} {
			t.Run(path+answer, func(t *testing.T) {
				t.Parallel()
				c := newCluster()
				c.set(podsPath, list(pod("a", ofReplicaSet, web)))
				c.set(path, answer)
				h := start(t, c, Address{})
				if diff := cmp.Diff(told{"a", want}, h.next(t), cmp.AllowUnexported(told{})); diff != "" {
					t.Error(diff)
				}
				<-c.watches
				if s := h.Status(); !s.Connected || !strings.Contains(s.Error, "unusable answer") || h.log.count("does not send all metadata of a pod") != 1 {
					t.Errorf("%+v", s)
				}
			})
		}
	}
}

// Alerts wait only for facts that will arrive: not on a node without known
// pods, as with a wrong name.
func TestNoPod(t *testing.T) {
	t.Parallel()
	c := newCluster()
	h := start(t, c, Address{})
	<-c.watches
	if h.Watched() || h.log.count("is its name right") != 1 {
		t.Errorf("watched %v without a pod, log %s", h.Watched(), h.log.b.String())
	}
	c.events <- change("ADDED", pod("a", ofReplicaSet, web))
	h.next(t)
	needs.Eventually(t, "the pod to count", h.Watched)
}

// A server that refuses is asked again; the log says it once, with the remedy.
func TestRefused(t *testing.T) {
	t.Parallel()
	c := newCluster()
	c.set(podsPath, "!401 unauthorized")
	h := start(t, c, Address{})
	needs.Eventually(t, "a second question", func() bool { return c.times(podsPath) >= 2 })
	if h.Watched() || h.log.count("see -K") != 1 {
		t.Errorf("watched %v, log %s", h.Watched(), h.log.b.String())
	}
	c.set(podsPath, list(pod("a", ofReplicaSet, web)))
	h.next(t)
	<-c.watches
	if !h.Watched() || h.Status().Error != "" {
		t.Errorf("%+v", h.Status())
	}
}

// An owner of the same name that is another one is not taken for it, and one
// that has gone leaves its name.
func TestOwnerReplaced(t *testing.T) {
	t.Parallel()
	c := newCluster()
	c.set(podsPath, list(pod("a", strings.Replace(ofReplicaSet, `"r"`, `"older"`, 1), nil), pod("b", strings.ReplaceAll(ofReplicaSet, "web-7c", "gone"), nil)))
	h := start(t, c, Address{})
	if got := h.next(t).w; got.ReplicaSet.UID != "older" || got.ReplicaSet.Labels != nil || got.Deployment.Name != "" {
		t.Errorf("%+v", got)
	}
	if got := h.next(t).w; got.ReplicaSet.Name != "gone" || got.Deployment.Name != "" {
		t.Errorf("%+v", got)
	}
}

// Garbage, and too much of it, ends nothing.
func TestGarbage(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]string{
		"html": "<html>", "a list": "[]", "too large": list(pod("a", ofReplicaSet, map[string]string{"x": strings.Repeat("x", 17<<20)})), "empty": "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster()
			c.set(podsPath, answer)
			h := start(t, c, Address{})
			needs.Eventually(t, "an error", func() bool { return h.Status().Error != "" })
			c.set(podsPath, list(pod("b", ofReplicaSet, web)))
			if got := h.next(t); got.uid != "b" {
				t.Errorf("told %+v", got)
			}
		})
	}
}

// Pods beyond the maximum of a node are left out, which is logged. Alerts do
// not wait for their facts.
func TestTooManyPods(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]int{"listed": maxPods + 10, "come": maxPods} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCluster()
			var all []string
			for i := range first {
				all = append(all, pod(fmt.Sprint(i), ofReplicaSet, nil))
			}
			c.set(podsPath, list(all...))
			h := start(t, c, Address{})
			<-c.watches
			if said := h.log.count("too many pods"); h.Watched() != (name == "come") || said != first/(maxPods+1) {
				t.Errorf("watched %v, said %d times", h.Watched(), said)
			}
			c.events <- change("ADDED", pod("more", ofReplicaSet, nil))
			c.events <- change("DELETED", pod("0", ofReplicaSet, nil))
			for range maxPods {
				h.next(t)
			}
			if got := h.next(t); got.uid != "0" || got.w != nil || h.Watched() {
				t.Errorf("told %+v, watched %v", got, h.Watched())
			}
		})
	}
}

// A server that accepts and never answers blocks only the watcher, which still
// ends at once.
func TestHangs(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1)
	h := start(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}), Address{})
	<-asked
	if h.Watched() {
		t.Error("watched")
	}
}
