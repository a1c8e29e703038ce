package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
	"github.com/peregrine-sec/peregrine/internal/kubeapi"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// pods lists those of the sensor on a node that are not on their way out.
func (s *site) pods(ctx context.Context) ([]pod, error) {
	values := url.Values{"fieldSelector": {"spec.nodeName=" + s.name()}, "labelSelector": {s.selector()}}
	var all list[pod]
	if err := s.Client.Get(ctx, kubeapi.In("api/v1", s.set.Metadata.Namespace, "pods")+"?"+values.Encode(), &all); err != nil {
		return nil, err
	}
	var found []pod
	for _, p := range all.Items {
		if ownedBy(&p.Metadata, s.set.Metadata.UID) && p.Metadata.DeletionTimestamp == nil && !p.ended() {
			found = append(found, p)
		}
	}
	return found, nil
}

// original is the sensor's own pod on the node, which has to become ready.
func (s *site) original(ctx context.Context) (*pod, error) {
	p, err := s.await(ctx, "the sensor on node "+s.name(), func(found []pod) (*pod, error) {
		if len(found) == 0 {
			return nil, refuse("no pod of DaemonSet %s is on node %s", s.set.name(), s.name())
		}
		if !found[0].ready() {
			return nil, nil
		}
		return &found[0], s.set.outdated(&found[0])
	})
	if err != nil && ctx.Err() == nil && !errors.As(err, new(*sweep.PreflightError)) {
		err = refuse("%v", err)
	}
	return p, err
}

// attempts is how often a copy is made again if the controller was faster.
const attempts = 5

// limit gives the sensor on the node its limit, and returns its pod: the copy that
// runs, resized, or a new one.
func (s *site) limit(ctx context.Context, l capacity.Limit) (*pod, error) {
	p, err := s.resize(ctx, l)
	if p == nil && err == nil {
		p, err = s.newCopy(ctx, l)
	}
	s.copy, s.given = p, l
	return p, err
}

// newCopy replaces the sensor's pod by a copy with the limit, and returns it when
// it is ready.
func (s *site) newCopy(ctx context.Context, l capacity.Limit) (*pod, error) {
	for range attempts {
		now, err := s.await(ctx, "the sensor's pod", func(found []pod) (*pod, error) {
			if len(found) == 0 {
				return nil, nil
			}
			return &found[0], nil
		})
		if err != nil {
			return nil, err
		}
		made, err := s.replace(ctx, now, l)
		if err != nil {
			return nil, err
		}
		p, err := s.await(ctx, "the sensor under "+l.String(), func(found []pod) (*pod, error) {
			p, err := readyCopy(found, made.Metadata.UID)
			if errors.Is(err, errReplaced) && s.unassigned(ctx, made) {
				return nil, nil
			}
			return p, err
		})
		if !errors.Is(err, errReplaced) {
			return p, err
		}
	}
	return nil, fmt.Errorf("the controller of DaemonSet %s replaced the copy with its own pod %d times: wait until its rollout has ended, or set its maxSurge to 0", s.set.name(), attempts)
}

// errReplaced says that the controller has made a pod of its own first.
var errReplaced = errors.New("the copy has been replaced")

// readyCopy is the copy among the pods of a node, when it is ready; nil before.
func readyCopy(found []pod, uid types.UID) (*pod, error) {
	for i := range found {
		if found[i].Metadata.UID != uid {
			continue
		}
		if !found[i].ready() {
			return nil, nil
		}
		return &found[i], nil
	}
	return nil, errReplaced
}

// unassigned says whether a copy is there and has not got its node yet, from the
// scheduler: pods does not list it then. It is found by its name, as a run may list
// pods but not get them.
func (s *site) unassigned(ctx context.Context, made *pod) bool {
	values := url.Values{"fieldSelector": {"metadata.name=" + made.Metadata.Name}, "labelSelector": {s.selector()}}
	var all list[pod]
	if err := s.Client.Get(ctx, kubeapi.In("api/v1", s.set.Metadata.Namespace, "pods")+"?"+values.Encode(), &all); err != nil {
		return true // which the next look at the pods decides
	}
	return slices.ContainsFunc(all.Items, func(p pod) bool {
		return p.Metadata.UID == made.Metadata.UID && p.Metadata.DeletionTimestamp == nil && !p.ended()
	})
}

// selector is the labelSelector of the sensor's pods.
func (s *site) selector() string {
	var parts []string
	for name, value := range s.set.Spec.Selector.MatchLabels {
		parts = append(parts, name+"="+value)
	}
	return strings.Join(parts, ",")
}

// replace deletes a pod and makes a copy while that one ends. The DaemonSet
// controller makes no pod for a node with one that ends (podsShouldBeOnNode in
// pkg/controller/daemon), and finds the copy when it has ended.
func (s *site) replace(ctx context.Context, old *pod, l capacity.Limit) (*pod, error) {
	c := copied{
		run: s.id, node: s.name(), container: s.Container, limit: l, labels: old.Metadata.Labels, release: s.release,
		statsFile: s.sensor.metricsPort(s.release) == 0, deadline: s.Ready + time.Duration(s.total()-s.at)*(s.Row+2*grace), extra: s.SensorArgs,
	}
	if !s.Socket {
		c.url = alertsURL(s.node.address(), s.Port)
	}
	body := s.set.makeCopy(c)
	// Try the copy first: a refusal by the API server must not cost the sensor
	// its pod.
	path := kubeapi.In("api/v1", s.set.Metadata.Namespace, "pods")
	if err := s.Client.Create(ctx, path+"?dryRun=All", body, nil); err != nil {
		return nil, fmt.Errorf("copy the sensor's pod with %s: %w", l, err)
	}
	err := s.Client.Delete(ctx, path+"/"+url.PathEscape(old.Metadata.Name), object{"preconditions": object{"uid": old.Metadata.UID}})
	if gone(err) != nil {
		return nil, err
	}
	made := &pod{}
	if err := s.Client.Create(ctx, path, body, made); err != nil {
		return nil, fmt.Errorf("copy the sensor's pod with %s: %w", l, err)
	}
	return made, nil
}

// pause is the time between two looks at the pods.
const pause = 500 * time.Millisecond

// await looks at the sensor's pods on the node until one of them is the answer, as
// long as a sensor may take to become ready.
func (s *site) await(ctx context.Context, what string, answer func([]pod) (*pod, error)) (*pod, error) {
	return s.awaitFor(ctx, s.Ready, what, answer)
}

func (s *site) awaitFor(ctx context.Context, most time.Duration, what string, answer func([]pod) (*pod, error)) (*pod, error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	trouble := "there is no pod"
	for {
		found, err := s.pods(ctx)
		if err == nil {
			var p *pod
			if p, err = answer(found); p != nil || err != nil {
				return p, err
			}
			if len(found) > 0 {
				trouble = found[0].trouble()
			}
		}
		if wait.For(ctx, pause) != nil {
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				return nil, err
			}
			return nil, fmt.Errorf("%s is not ready after %v: %s", what, most, trouble)
		}
	}
}

// restore deletes the copy, and waits until the DaemonSet's own pod is there, or
// leaves that to the run that has taken over.
func (s *site) restore(ctx context.Context) error {
	gave := lost(ctx) != nil
	ctx, cancel := afterwards(ctx)
	defer cancel()
	s.Say("%s  the sensor gets its own pod back", s.name())
	found, err := s.pods(ctx)
	for _, p := range found {
		if p.Metadata.Labels[runLabel] == s.id {
			err = errors.Join(err, gone(s.Client.Delete(ctx, kubeapi.In("api/v1", p.Metadata.Namespace, "pods", p.Metadata.Name), nil)))
		}
	}
	if err != nil {
		return fmt.Errorf("restore the sensor on node %s (run `peregrine capacity kubernetes restore`): %w", s.name(), err)
	}
	if gave {
		return nil
	}
	_, err = s.awaitFor(ctx, max(s.Ready, time.Minute), "the sensor's own pod", func(found []pod) (*pod, error) {
		for i := range found {
			if found[i].Metadata.Labels[runLabel] == "" && found[i].ready() {
				return &found[i], nil
			}
		}
		return nil, nil
	})
	return err
}
