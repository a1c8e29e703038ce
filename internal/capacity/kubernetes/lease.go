package kubernetes

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/peregrine-sec/peregrine/internal/kubeapi"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// A run holds a Lease beside its DaemonSet while it is alive, so that no other
// run measures at the same time, and none undoes what this one does.
const (
	leaseLength = 15 * time.Second
	leaseRenew  = 3 * time.Second
)

// lease is a Lease of coordination.k8s.io/v1.
type lease struct {
	APIVersion string        `json:"apiVersion"`
	Kind       string        `json:"kind"`
	Metadata   leaseMetadata `json:"metadata"`
	Spec       struct {
		Holder  string `json:"holderIdentity"`
		Length  int    `json:"leaseDurationSeconds"`
		Renewed string `json:"renewTime"`
	} `json:"spec"`
}

type leaseMetadata struct {
	Name            string            `json:"name"`
	Namespace       string            `json:"namespace"`
	ResourceVersion string            `json:"resourceVersion,omitempty"`
	Labels          map[string]string `json:"labels,omitempty"`
}

// microTime is Kubernetes' MicroTime.
const microTime = "2006-01-02T15:04:05.000000Z07:00"

// over says whether the holder has not renewed its lease in time.
func (l *lease) over(now time.Time) bool {
	renewed, err := time.Parse(time.RFC3339Nano, l.Spec.Renewed)
	return err != nil || now.Sub(renewed) > time.Duration(l.Spec.Length)*time.Second
}

// hold takes the lease, once the one of a killed run is over, and renews it until
// release is called.
func (r *run) hold(ctx context.Context) (release func(), err error) {
	mine := &lease{APIVersion: "coordination.k8s.io/v1", Kind: "Lease", Metadata: leaseMetadata{
		Name: product + "-" + r.set.Metadata.Name, Namespace: r.set.Metadata.Namespace, Labels: map[string]string{partOf: product}}}
	host, _ := os.Hostname()
	mine.Spec.Holder, mine.Spec.Length = fmt.Sprintf("%s/%d, run %s", host, os.Getpid(), r.id), int(leaseLength.Seconds())
	if err := r.take(ctx, mine); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for wait.For(ctx, leaseRenew) == nil {
			mine.Spec.Renewed = r.Now().UTC().Format(microTime)
			// One that fails is made up for by the next.
			_ = r.Client.Do(ctx, http.MethodPut, mine.path(), "application/json", mine, mine)
		}
	}()
	return func() {
		cancel()
		<-done
		ctx, cancel := afterwards(ctx)
		defer cancel()
		if err := gone(r.Client.Delete(ctx, mine.path(), nil)); err != nil {
			r.Say("the lease is left to end by itself: %v", err)
		}
	}, nil
}

func (l *lease) path() string {
	return kubeapi.In("apis/coordination.k8s.io/v1", l.Metadata.Namespace, "leases", l.Metadata.Name)
}

// take makes the lease. One that is there is waited for, as long as a killed run's
// would last, and deleted when it is over.
func (r *run) take(ctx context.Context, mine *lease) error {
	waited := false
	for deadline := r.Now().Add(2 * leaseLength); ; {
		mine.Spec.Renewed = r.Now().UTC().Format(microTime)
		err := r.Client.Create(ctx, kubeapi.In("apis/coordination.k8s.io/v1", mine.Metadata.Namespace, "leases"), mine, mine)
		if !kubeapi.Is(err, http.StatusConflict) {
			return err
		}
		var theirs lease
		err = r.Client.Get(ctx, mine.path(), &theirs)
		switch {
		case kubeapi.Is(err, http.StatusNotFound):
			continue
		case err != nil:
			return err
		case theirs.over(r.Now()):
			err := r.Client.Delete(ctx, mine.path(), object{"preconditions": object{"resourceVersion": theirs.Metadata.ResourceVersion}})
			if gone(err) != nil && !kubeapi.Is(err, http.StatusConflict) { // renewed at the last moment
				return err
			}
			continue
		case r.Now().After(deadline):
			return refuse("another run measures DaemonSet %s (%s): wait for it to end", r.set.name(), theirs.Spec.Holder)
		case !waited:
			waited = true
			r.Say("a run holds DaemonSet %s (%s): waiting to see whether it is alive", r.set.name(), theirs.Spec.Holder)
		}
		if err := wait.For(ctx, leaseRenew); err != nil {
			return err
		}
	}
}
