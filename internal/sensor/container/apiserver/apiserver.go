// Package apiserver asks the Kubernetes API server about the pods of one node:
// what runs them (replica set, deployment, replication controller), which
// services lead to them, and the labels of these and of their namespaces. One
// watch reports the pods; the other facts are requested when a pod appears, and
// again every few minutes. It works on its own goroutine, and blocks nothing
// else.
//
// It uses client-go only to find the server and authenticate to it: typed
// clients would double its share of the binary.
package apiserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/container/rest"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// Options name the server, the node and the receiver of facts.
type Options struct {
	Address
	Node     string // its name in the cluster
	LabelMax int    // longest value of a label that is kept, in bytes
	// Deliver receives the facts about the pod with a UID; nil when the pod has
	// gone.
	Deliver func(ctx context.Context, uid string, w *container.Workload)
	Log     *slog.Logger
}

// Status is the state of the watcher.
type Status struct {
	Server    string
	Connected bool
	Connects  uint64
	Told      uint64 // Workloads delivered
	Error     string
}

// A server that does not answer is asked again after firstPause, which doubles
// each time up to lastPause, until a watch lasts: one that ends sooner than
// holds has failed, however it ends.
const (
	firstPause = time.Second
	lastPause  = 2 * time.Minute
	holds      = 10 * time.Second
)

// A watch lasts for lifetime, and up to half as long in addition, so that the
// nodes of a cluster do not all ask at once. Where questions failed, it lasts
// for retryLifetime.
const (
	lifetime      = 4 * time.Minute
	retryLifetime = 30 * time.Second
)

// maxPods bounds the pods of one node; Kubernetes recommends up to 110.
const maxPods = 2000

// Watcher asks.
type Watcher struct {
	options Options
	*connection
	// first and holds are the constants firstPause and holds, except in tests.
	first, holds time.Duration
	watched      atomic.Bool
	pods         map[string]metadata // delivered pods, by UID
	cut          bool                // the node has more

	mu      sync.Mutex
	status  Status
	listed  int  // pods
	failing bool // logged, and no watch has held since
	noted   bool // that something is missing
}

// New returns a Watcher that sends no requests before Run.
func New(o Options) *Watcher {
	return &Watcher{options: o, first: firstPause, holds: holds, pods: map[string]metadata{}, status: Status{Server: o.Address.String()}}
}

// Watched says whether new pods are reported now. That is not so on a node
// without known pods, as with a wrong name, or with more than maxPods. It may
// be called from any goroutine, as may Status.
func (w *Watcher) Watched() bool { return w.watched.Load() }

// Status is the present state.
func (w *Watcher) Status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

// Run asks until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	pause := w.first
	for {
		held, err := w.round(ctx)
		if ctx.Err() != nil {
			return
		}
		if held {
			pause = w.first
		}
		if !held || err != nil {
			w.failed(err)
			w.connection = nil // the files of the credentials may change
		}
		if wait.For(ctx, pause+rand.N(pause/2)) != nil {
			return
		}
		pause = min(2*pause, lastPause)
	}
}

// round lists the node's pods, and watches them until the watch ends. It says
// whether the watch has held; its end by the server is no error.
func (w *Watcher) round(ctx context.Context) (held bool, err error) {
	if w.connection == nil {
		if w.connection, err = w.options.connect(); err != nil {
			return false, err
		}
	}
	version, pods, err := w.list(ctx)
	if err != nil {
		return false, err
	}
	w.connected(len(pods))
	asked := newWorkloads(w.connection, w.options.LabelMax)
	listed := make(map[string]bool, len(pods))
	lasts := lifetime + rand.N(lifetime/2)
	for _, p := range pods {
		listed[p.Metadata.uid()] = true
		whole, err := w.tell(ctx, asked, p.Metadata)
		if err != nil {
			return false, err
		}
		if !whole {
			lasts = retryLifetime
		}
	}
	for uid := range w.pods {
		if !listed[uid] {
			w.forget(ctx, uid)
		}
	}
	w.promise()
	if lasts != retryLifetime {
		w.complete()
	}
	begun := time.Now()
	defer time.AfterFunc(w.holds, w.held).Stop()
	err = w.watch(ctx, asked, version, lasts)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return time.Since(begun) >= w.holds, err
}

const podsPath = "/api/v1/pods"

func (w *Watcher) query() string {
	return podsPath + "?fieldSelector=" + url.QueryEscape("spec.nodeName="+w.options.Node)
}

// list returns the node's pods, and the version from which to watch.
func (w *Watcher) list(ctx context.Context) (version string, pods []object, err error) {
	next := "&resourceVersion=0" // from the server's cache, which has an index of nodes
	for {
		var page podList
		asked, cancel := context.WithTimeout(ctx, askTimeout)
		err := w.metadata.Get(asked, w.query()+next, &page)
		cancel()
		if err != nil {
			return "", nil, err
		}
		pods = append(pods, page.Items...)
		if w.cut = len(pods) > maxPods; w.cut {
			w.options.Log.Warn("node has too many pods; the others get no metadata", "node", w.options.Node, "limit", maxPods)
			return page.Metadata.ResourceVersion, pods[:maxPods], nil
		}
		if page.Metadata.Continue == "" {
			return page.Metadata.ResourceVersion, pods, nil
		}
		next = "&continue=" + url.QueryEscape(page.Metadata.Continue)
	}
}

// watch delivers changes until the server ends the watch.
func (w *Watcher) watch(ctx context.Context, asked *workloads, version string, lasts time.Duration) error {
	// The server ends it; the context is for one that hangs.
	ctx, cancel := context.WithTimeout(ctx, lasts+askTimeout)
	defer cancel()
	var broke error
	err := rest.Stream(ctx, w.metadata, fmt.Sprintf("%s&watch=true&resourceVersion=%s&timeoutSeconds=%d", w.query(), url.QueryEscape(version), int(lasts.Seconds())), func(e event) {
		if broke == nil {
			if broke = w.see(ctx, asked, e); broke != nil {
				cancel()
			}
		}
	})
	if broke != nil {
		return broke
	}
	return err
}

// see takes one event of the watch.
func (w *Watcher) see(ctx context.Context, asked *workloads, e event) error {
	var o object
	switch e.Type {
	case "ADDED", "MODIFIED", "DELETED":
		if err := json.Unmarshal(e.Object, &o); err != nil {
			return fmt.Errorf("%w: a pod in the watch: %w", rest.ErrAnswer, err)
		}
	case "ERROR": // as when the version is too old: list again
		var status struct{ Message string }
		_ = json.Unmarshal(e.Object, &status) // without it there is no message
		return fmt.Errorf("%w: the watch ended: %s", rest.ErrAnswer, status.Message)
	default:
		return nil
	}
	defer w.promise()
	was, known := w.pods[o.Metadata.uid()]
	switch {
	case e.Type == "DELETED":
		w.forget(ctx, o.Metadata.uid())
		return nil
	case !known && len(w.pods) >= maxPods:
		w.cut = true
		return nil
	case known && was.sameFor(&o.Metadata):
		return nil
	}
	_, err := w.tell(ctx, asked, o.Metadata)
	return err
}

// promise stores whether new pods are reported, see Watched.
func (w *Watcher) promise() { w.watched.Store(len(w.pods) > 0 && !w.cut) }

// tell finds and delivers the Workload of a pod, and says whether it is
// complete; an error ends the round.
func (w *Watcher) tell(ctx context.Context, asked *workloads, pod metadata) (whole bool, err error) {
	found, errs := asked.of(ctx, &pod)
	if slices.ContainsFunc(errs, noAnswer) {
		return false, errors.Join(errs...)
	}
	if len(errs) > 0 {
		w.note(errors.Join(errs...))
	}
	w.pods[pod.uid()] = pod
	w.mu.Lock()
	w.status.Told++
	w.mu.Unlock()
	w.options.Deliver(ctx, pod.uid(), found)
	return len(errs) == 0, nil
}

func (w *Watcher) forget(ctx context.Context, uid string) {
	delete(w.pods, uid)
	w.options.Deliver(ctx, uid, nil)
}
