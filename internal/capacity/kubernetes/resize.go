package kubernetes

import (
	"context"
	"errors"
	"fmt"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/kubeapi"
)

// resize gives the copy that runs another CPU limit in place (pods/resize, since
// Kubernetes 1.33). It returns nil if the cluster or the kubelet cannot, or the
// limit is of memory, where a process that has grown under another limit would
// falsify the result: a new copy is made then.
func (s *site) resize(ctx context.Context, l capacity.Limit) (*pod, error) {
	if s.copy == nil || s.given.Memory != l.Memory || s.given.CPU == 0 || l.CPU == 0 {
		return nil, nil
	}
	name := s.copy.Metadata.Name
	now := s.copy.container(s.Container)
	wished := limited(s.sensor.Resources, l)
	path := kubeapi.In("api/v1", s.set.Metadata.Namespace, "pods", name, "resize")
	err := s.Client.Patch(ctx, path, object{"spec": object{"containers": []any{object{"name": s.Container, "resources": wished}}}}, nil)
	if refused, ok := errors.AsType[*kubeapi.Error](err); ok {
		s.Say("%s  a new copy is made, as the pod cannot be resized in place: %s", s.name(), refused.Message)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("resize pod %s: %w", name, err)
	}
	p, err := s.await(ctx, "pod "+name+", resized to "+l.String(), func(found []pod) (*pod, error) {
		p, err := readyCopy(found, s.copy.Metadata.UID)
		if p == nil || err != nil {
			return nil, err
		}
		if c := p.condition("PodResizePending"); c.Reason == "Infeasible" || p.container(s.Container).ContainerID != now.ContainerID {
			return nil, errReplaced
		}
		return p.resized(s.Container, wished), nil
	})
	if err != nil && ctx.Err() == nil {
		s.Say("%s  a new copy is made, as the pod was not resized in place: %v", s.name(), err)
		return nil, nil
	}
	return p, err
}

// resized is the pod itself if its container has the CPU limit wished; else nil.
func (p *pod) resized(name string, wished resources) *pod {
	has := p.container(name).Resources
	if p.condition("PodResizePending").Status == "True" || p.condition("PodResizeInProgress").Status == "True" ||
		has == nil || !sameCPU(has.Limits["cpu"], wished.Limits["cpu"]) {
		return nil
	}
	return p
}

// sameCPU says whether two quantities are of as many CPUs: "500m" and "0.5".
func sameCPU(a, b string) bool {
	x, errX := human.ParseCPUs(a)
	y, errY := human.ParseCPUs(b)
	return errX == nil && errY == nil && x == y
}
