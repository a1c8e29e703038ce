package apiserver

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"context"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// cluster is an API server with the answers of paths. Its watch sends the
// events that the test puts into events, and ends when that is closed.
type cluster struct {
	mu      sync.Mutex
	answers map[string]string // JSON, by path without query; "!CODE TEXT" for an error, code 0 for none
	asked   map[string]int
	accepts map[string]string
	queries map[string]string
	events  chan string
	watches chan string // the version of each watch that begins
}

func newCluster() *cluster {
	return &cluster{
		answers: map[string]string{
			podsPath:                  `{"metadata":{"resourceVersion":"7"},"items":[]}`,
			"/api/v1/namespaces/shop": `{"metadata":{"name":"shop","uid":"n","labels":{"team":"store"}}}`,
			"/api/v1/namespaces/shop/services": `{"items":[
				{"metadata":{"name":"web","uid":"s2"},"spec":{"selector":{"app":"web"}}},
				{"metadata":{"name":"front","uid":"s1","labels":{"a":"b"}},"spec":{"selector":{"app":"web","tier":"x"}}},
				{"metadata":{"name":"other"},"spec":{"selector":{"app":"db"}}},
				{"metadata":{"name":"manual"},"spec":{}}]}`,
			"/apis/apps/v1/namespaces/shop/replicasets/web-7c": `{"metadata":{"name":"web-7c","uid":"r","labels":{"hash":"7c"},
				"ownerReferences":[{"kind":"Deployment","name":"web","uid":"d","controller":true}]}}`,
			"/apis/apps/v1/namespaces/shop/deployments/web": `{"metadata":{"name":"web","uid":"d","labels":{"app":"web","long":"` + strings.Repeat("x", 101) + `"}}}`,
		},
		asked: map[string]int{}, accepts: map[string]string{}, queries: map[string]string{},
		events: make(chan string), watches: make(chan string, 100),
	}
}

// watchAnswer is the key of an answer to watches instead of events.
const watchAnswer = "watch"

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.asked[r.URL.Path]++
	accept := r.Header.Get("Accept")
	c.accepts[r.URL.Path] = accept
	c.queries[r.URL.Path] = r.URL.RawQuery
	answer, ok := c.answers[r.URL.Path]
	events := c.events
	watch := r.URL.Query().Get("watch") == "true"
	if watch {
		answer, ok = c.answers[watchAnswer]
	}
	c.mu.Unlock()
	isList := r.URL.Path == podsPath && !watch
	if asList := strings.Contains(accept, "as=PartialObjectMetadataList;"); strings.Contains(accept, "as=") && asList != isList {
		w.WriteHeader(http.StatusNotAcceptable)
		return
	}
	if watch && !ok {
		c.watches <- r.URL.Query().Get("resourceVersion")
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		for {
			select {
			case <-r.Context().Done():
				return
			case e, ok := <-events:
				if !ok {
					return
				}
				fmt.Fprintln(w, e)
				w.(http.Flusher).Flush()
			}
		}
	}
	var code int
	var text string
	switch n, _ := fmt.Sscanf(answer, "!%d %s", &code, &text); {
	case !ok:
		w.WriteHeader(http.StatusNotFound)
	case n == 2 && code == 0:
		panic(http.ErrAbortHandler)
	case n == 2:
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"kind":"Status","message":%q}`, text)
	default:
		fmt.Fprint(w, answer)
	}
}

func (c *cluster) set(path, answer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[path] = answer
}

func (c *cluster) times(path string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked[path]
}

// pod is a pod of the shop, as the server tells it.
func pod(uid, owner string, labels map[string]string) string {
	text, _ := json.Marshal(labels)
	return fmt.Sprintf(`{"metadata":{"name":"p-%s","namespace":"shop","uid":%q,"labels":%s,"ownerReferences":[%s]}}`, uid, uid, text, owner)
}

const ofReplicaSet = `{"kind":"ReplicaSet","name":"web-7c","uid":"r","controller":true}`

func list(items ...string) string {
	return `{"metadata":{"resourceVersion":"7"},"items":[` + strings.Join(items, ",") + `]}`
}

func change(kind, pod string) string { return fmt.Sprintf(`{"type":%q,"object":%s}`, kind, pod) }

// told is one delivery about a pod.
type told struct {
	uid string
	w   *container.Workload
}

// host runs a Watcher and keeps its deliveries.
type host struct {
	*Watcher
	told chan told
	log  *logText
}

type logText struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logText) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

func start(t *testing.T, c http.Handler, address Address) *host {
	t.Helper()
	return startWith(t, c, address, holds)
}

// pause is the first pause of tests.
const pause = 200 * time.Millisecond

// startWith starts a Watcher to which a watch is a good one after a time of the
// test's.
func startWith(t *testing.T, c http.Handler, address Address, holds time.Duration) *host {
	t.Helper()
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	if address.URL == "" {
		address.URL = server.URL
	}
	h := &host{told: make(chan told, 10000), log: &logText{}}
	h.Watcher = New(Options{
		Address: address, Node: "node1", LabelMax: 100, Log: slog.New(slog.NewTextHandler(h.log, nil)),
		Deliver: func(_ context.Context, uid string, w *container.Workload) { h.told <- told{uid, w} },
	})
	h.first, h.holds = pause, holds
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { h.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done; server.CloseClientConnections() })
	return h
}

// next returns the next delivery.
func (h *host) next(t *testing.T) told {
	t.Helper()
	select {
	case got := <-h.told:
		return got
	case <-time.After(needs.Patience):
		t.Fatalf("nothing is told: %+v", h.Status())
		return told{}
	}
}
