package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/peregrine-sec/peregrine/internal/kubeapi"
)

// Restore undoes the changes of a killed run to a sensor, and returns a line
// for each step. From Options, it needs the sensor and the namespace.
func Restore(ctx context.Context, o Options) ([]string, error) {
	r, err := newRun(ctx, o)
	if err != nil {
		return nil, err
	}
	_, release, err := r.hold(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	return r.undo(ctx)
}

// undo deletes all that runs have made for this sensor. The DaemonSet's
// controller makes the pods again that copies stood for.
func (r *run) undo(ctx context.Context) (did []string, err error) {
	ctx, cancel := afterwards(ctx)
	defer cancel()
	copies, err := r.copies(ctx)
	if err != nil {
		return nil, err
	}
	pods := kubeapi.In("api/v1", r.set.Metadata.Namespace, "pods")
	for _, p := range copies {
		if e := gone(r.Client.Delete(ctx, pods+"/"+url.PathEscape(p.Metadata.Name), nil)); e != nil {
			err = errors.Join(err, e)
			continue
		}
		did = append(did, fmt.Sprintf("deleted the copy %s on node %s: DaemonSet %s makes its own pod again", p.Metadata.Name, p.Spec.NodeName, r.set.name()))
	}
	more, e := r.undoLoad(ctx, r.Namespace)
	did, err = append(did, more...), errors.Join(err, e)
	for _, namespace := range r.left {
		more, e := r.undoLoad(ctx, namespace)
		if e != nil { // it is another user's, perhaps
			more = append(more, fmt.Sprintf("could not undo the load of a killed run in namespace %s: %v", namespace, e))
		}
		did = append(did, more...)
	}
	return did, err
}

// copies are the pods that runs have made in place of the DaemonSet's own.
func (r *run) copies(ctx context.Context) ([]pod, error) {
	var found list[pod]
	path := kubeapi.In("api/v1", r.set.Metadata.Namespace, "pods") + "?labelSelector=" + url.QueryEscape(runLabel)
	if err := r.Client.Get(ctx, path, &found); err != nil {
		return nil, err
	}
	var copies []pod
	for _, p := range found.Items {
		if ownedBy(&p.Metadata, r.set.Metadata.UID) && p.Metadata.DeletionTimestamp == nil {
			copies = append(copies, p)
		}
	}
	return copies, nil
}

// undoLoad deletes the Jobs of runs on this DaemonSet, and their namespace if such
// a run has made it. Those on other DaemonSets may be alive.
func (r *run) undoLoad(ctx context.Context, name string) (did []string, err error) {
	var namespace struct{ Metadata meta }
	path := kubeapi.In("api/v1", "", "namespaces", name)
	err = r.Client.Get(ctx, path, &namespace)
	switch {
	case kubeapi.Is(err, 404), err == nil && namespace.Metadata.DeletionTimestamp != nil:
		return nil, nil
	case err != nil:
		return nil, err
	case namespace.Metadata.Labels[runLabel] != "" && namespace.Metadata.Labels[sensorLabel] == r.set.label():
		if err := gone(r.Client.Delete(ctx, path, nil)); err != nil {
			return nil, err
		}
		return []string{"deleted namespace " + name + ", with the load in it"}, nil
	}
	var jobs list[struct{ Metadata meta }]
	path = kubeapi.In("apis/batch/v1", name, "jobs") + "?labelSelector=" + url.QueryEscape(sensorLabel+"="+r.set.label())
	if err := r.Client.Get(ctx, path, &jobs); err != nil || len(jobs.Items) == 0 {
		return nil, err
	}
	if err := r.Client.Delete(ctx, path, object{"propagationPolicy": "Background"}); err != nil {
		return nil, err
	}
	return []string{fmt.Sprintf("deleted %d Jobs of load in namespace %s", len(jobs.Items), name)}, nil
}
