package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/container/rest"
)

const (
	// askTimeout bounds one question.
	askTimeout = 10 * time.Second
	// servicesFresh is how long a namespace's list of services counts for new
	// pods: a service is often made together with the first of its pods.
	servicesFresh = 10 * time.Second
	// maxKnown bounds the objects that are remembered: with more, all are asked
	// for again.
	maxKnown = 4096
)

// workloads finds the Workload of pods. It caches answers, since the pods of a
// deployment have all but their names in common.
type workloads struct {
	*connection
	labelMax int
	known    map[string]owned    // by path
	services map[string]services // by namespace
}

// owned is an object, and its owner; nil for none.
type owned struct {
	container.Object
	by *reference
}

type services struct {
	at   time.Time
	list []service
}

func newWorkloads(c *connection, labelMax int) *workloads {
	return &workloads{
		connection: c, labelMax: labelMax, known: map[string]owned{}, services: map[string]services{},
	}
}

// of returns the Workload of a pod, and an error for each request that failed,
// whose facts are left out.
func (w *workloads) of(ctx context.Context, pod *metadata) (*container.Workload, []error) {
	if len(w.known) > maxKnown {
		*w = *newWorkloads(w.connection, w.labelMax)
	}
	var found container.Workload
	var errs []error
	check := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	ask := func(api, resource string, r *reference) owned {
		o, err := w.object(ctx, "/"+api+"/namespaces/"+url.PathEscape(pod.Namespace)+"/"+resource+"/"+url.PathEscape(r.Name))
		check(err)
		if o.UID != r.UID { // it has gone, or another has its name
			return owned{Object: container.Object{Name: r.Name, UID: r.UID}}
		}
		return o
	}
	switch c := pod.controller(); {
	case c == nil:
	case c.Kind == "ReplicaSet":
		set := ask("apis/apps/v1", "replicasets", c)
		found.ReplicaSet = set.Object
		if set.by != nil && set.by.Kind == "Deployment" {
			found.Deployment = ask("apis/apps/v1", "deployments", set.by).Object
		}
	case c.Kind == "ReplicationController":
		found.ReplicationController = ask("api/v1", "replicationcontrollers", c).Object
	}
	namespace, err := w.object(ctx, "/api/v1/namespaces/"+url.PathEscape(pod.Namespace))
	found.Namespace = namespace.Object
	found.Namespace.Name = pod.Namespace
	check(err)
	found.Services, err = w.leadingTo(ctx, pod)
	check(err)
	return &found, errs
}

// object returns the object at a path; a zero one if absent.
func (w *workloads) object(ctx context.Context, path string) (owned, error) {
	if o, ok := w.known[path]; ok {
		return o, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var o object
	err := w.metadata.Get(ctx, path+"?resourceVersion=0", &o) // from the server's cache
	if errors.Is(err, container.ErrNotFound) {
		err = w.metadata.Get(ctx, path, &o) // which may be behind
	}
	if errors.Is(err, container.ErrNotFound) {
		return owned{}, nil
	}
	if err != nil {
		return owned{}, err
	}
	m := &o.Metadata
	w.known[path] = owned{container.Object{Name: m.Name, UID: m.UID, Labels: container.KeepLabels(m.Labels, w.labelMax)}, m.controller()}
	return w.known[path], nil
}

// leadingTo are the services that lead to a pod.
func (w *workloads) leadingTo(ctx context.Context, pod *metadata) ([]container.Object, error) {
	known, ok := w.services[pod.Namespace]
	if now := time.Now(); !ok || now.Sub(known.at) > servicesFresh {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		var answer serviceList
		if err := w.whole.Get(ctx, "/api/v1/namespaces/"+url.PathEscape(pod.Namespace)+"/services?resourceVersion=0", &answer); err != nil {
			return nil, fmt.Errorf("services: %w", err)
		}
		slices.SortFunc(answer.Items, func(a, b service) int { return strings.Compare(a.Metadata.Name, b.Metadata.Name) })
		known = services{now, answer.Items}
		w.services[pod.Namespace] = known
	}
	var found []container.Object
	for i := range known.list {
		if s := &known.list[i]; s.leadsTo(pod.Labels) {
			m := &s.Metadata
			found = append(found, container.Object{Name: m.Name, UID: m.UID, Labels: container.KeepLabels(m.Labels, w.labelMax)})
		}
	}
	return found, nil
}

// noAnswer says whether an error is the lack of an answer.
func noAnswer(err error) bool { return !errors.Is(err, rest.ErrAnswer) }
