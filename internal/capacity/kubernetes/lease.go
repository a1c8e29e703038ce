package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/peregrine-sec/peregrine/internal/kubeapi"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// A run holds a Lease beside its DaemonSet while it is alive, so that no other
// run measures at the same time, or undoes this one's changes. As with
// client-go's leader election, a holder is dead when its lease has not changed
// for leaseLength of our own clock: its host's clock may be another.
const (
	leaseLength = 15 * time.Second
	leaseRenew  = 3 * time.Second // also how long one renewal may take
)

// lease is a Lease of coordination.k8s.io/v1.
type lease struct {
	metav1.TypeMeta
	Metadata meta      `json:"metadata"`
	Spec     leaseSpec `json:"spec"`
}

// leaseRecord is in the lease's annotation, for the run that undoes a killed one:
// the namespaces of its load, and those of killed runs before it.
type leaseRecord struct {
	Namespaces []string `json:"namespaces"`
}

// inherit takes over the namespaces that a killed run has used.
func (r *run) inherit(theirs *lease) {
	var used leaseRecord
	if json.Unmarshal([]byte(theirs.Metadata.Annotations[record]), &used) != nil {
		return // it is of an earlier version
	}
	for _, namespace := range used.Namespaces {
		if namespace != r.Namespace && !slices.Contains(r.left, namespace) {
			r.left = append(r.left, namespace)
		}
	}
}

// sign writes this run's namespaces into the lease.
func (r *run) sign(mine *lease) {
	text, _ := json.Marshal(leaseRecord{append([]string{r.Namespace}, r.left...)})
	mine.Metadata.Annotations = map[string]string{record: string(text)}
}

type leaseSpec struct {
	Holder  string `json:"holderIdentity"`
	Length  int    `json:"leaseDurationSeconds"`
	Renewed string `json:"renewTime"`
}

// lostLease is the error of a run that another run took for dead.
type lostLease struct{ set, holder string }

func (e *lostLease) Error() string {
	if e.holder == "" {
		return fmt.Sprintf("the Lease of this run on DaemonSet %s was deleted: the run has ended, as another may undo what it does", e.set)
	}
	return fmt.Sprintf("another run has taken over DaemonSet %s (%s): this one could not renew its Lease in time, and has ended", e.set, e.holder)
}

// lost says whether a context that hold has returned ended because the lease
// was lost: the DaemonSet's copies are another run's then.
func lost(ctx context.Context) error {
	if lost, ok := errors.AsType[*lostLease](context.Cause(ctx)); ok {
		return lost
	}
	return nil
}

// hold takes the lease, once the one of a killed run is over, and renews it until
// release is called. The context that it returns ends if the lease is lost.
func (r *run) hold(ctx context.Context) (held context.Context, release func(), err error) {
	mine := &lease{TypeMeta: metav1.TypeMeta{APIVersion: "coordination.k8s.io/v1", Kind: "Lease"}, Metadata: meta{
		Name: product + "-" + r.set.Metadata.Name, Namespace: r.set.Metadata.Namespace, Labels: map[string]string{partOf: product}}}
	host, _ := os.Hostname()
	mine.Spec.Holder, mine.Spec.Length = fmt.Sprintf("%s/%d, run %s", host, os.Getpid(), r.id), int(leaseLength.Seconds())
	if err := r.take(ctx, mine); err != nil {
		return nil, nil, err
	}
	held, lose := context.WithCancelCause(ctx)
	renewing, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for wait.For(renewing, leaseRenew) == nil {
			if err := r.renew(renewing, mine); err != nil {
				lose(err)
				return
			}
		}
	}()
	return held, func() {
		stop()
		<-done
		gave := lost(held) != nil
		lose(nil)
		if gave {
			return
		}
		ctx, cancel := afterwards(ctx)
		defer cancel()
		err := r.Client.Delete(ctx, mine.path(), object{"preconditions": object{"uid": mine.Metadata.UID}})
		if gone(err) != nil && !kubeapi.Is(err, http.StatusConflict) { // it is another run's
			r.Say("the lease is left to end by itself: %v", err)
		}
	}, nil
}

func (l *lease) path() string {
	return kubeapi.In("apis/coordination.k8s.io/v1", l.Metadata.Namespace, "leases", l.Metadata.Name)
}

// renew renews the lease. If one renewal fails, the next one makes up for it;
// the error is a *lostLease. After a renewal whose answer was lost, the version
// is not the one that we know, and the next one is a conflict, although the
// lease is ours.
func (r *run) renew(ctx context.Context, mine *lease) error {
	ctx, cancel := context.WithTimeout(ctx, leaseRenew)
	defer cancel()
	for range 2 {
		mine.Spec.Renewed = r.Now().UTC().Format(metav1.RFC3339Micro)
		err := r.Client.Do(ctx, http.MethodPut, mine.path(), "application/json", mine, mine)
		if !kubeapi.Is(err, http.StatusConflict) && !kubeapi.Is(err, http.StatusNotFound) {
			return nil
		}
		var now lease
		err = r.Client.Get(ctx, mine.path(), &now)
		switch {
		case kubeapi.Is(err, http.StatusNotFound):
			return &lostLease{set: r.set.name()}
		case err != nil:
			return nil
		case now.Spec.Holder != mine.Spec.Holder:
			return &lostLease{set: r.set.name(), holder: now.Spec.Holder}
		}
		mine.Metadata.ResourceVersion = now.Metadata.ResourceVersion
	}
	return nil
}

// take makes the lease. An existing one is watched for its duration, and
// deleted if it was not renewed.
func (r *run) take(ctx context.Context, mine *lease) error {
	var seen leaseSpec
	var since, deadline time.Time
	for {
		mine.Spec.Renewed = r.Now().UTC().Format(metav1.RFC3339Micro)
		r.sign(mine)
		err := r.Client.Create(ctx, kubeapi.In("apis/coordination.k8s.io/v1", mine.Metadata.Namespace, "leases"), mine, mine)
		if !kubeapi.Is(err, http.StatusConflict) {
			return err
		}
		var theirs lease
		err = r.Client.Get(ctx, mine.path(), &theirs)
		now := r.Now()
		switch {
		case kubeapi.Is(err, http.StatusNotFound):
			continue
		case err != nil:
			return err
		case theirs.Spec != seen:
			if deadline.IsZero() {
				deadline = now.Add(2 * leaseLength)
				r.Say("a run holds DaemonSet %s (%s): waiting to see whether it is alive", r.set.name(), theirs.Spec.Holder)
			}
			seen, since = theirs.Spec, now
		case now.Sub(since) > leaseLength:
			err := r.Client.Delete(ctx, mine.path(), object{"preconditions": object{"resourceVersion": theirs.Metadata.ResourceVersion}})
			if gone(err) != nil && !kubeapi.Is(err, http.StatusConflict) { // renewed at the last moment
				return err
			}
			r.inherit(&theirs)
			continue
		}
		if now.After(deadline) {
			return refuse("another run measures DaemonSet %s (%s): wait for it to end", r.set.name(), theirs.Spec.Holder)
		}
		if err := wait.For(ctx, pause); err != nil {
			return err
		}
	}
}
