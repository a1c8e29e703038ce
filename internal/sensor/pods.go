package sensor

import (
	"context"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/container/apiserver"
)

// newPods makes the watcher that asks the Kubernetes API server about the pods
// of this node; nil without a server.
func (s *sensor) newPods(cfg *config.Config) *apiserver.Watcher {
	k := cfg.Peregrine.Kubernetes
	if s.inventory == nil || cfg.Engine.Kind == "nodriver" || !k.Enabled || k.APIServer == "" && !apiserver.InPod() {
		return nil
	}
	node := k.Node
	if node == "" {
		node = s.opt.Getenv("FALCO_K8S_NODE_NAME")
	}
	if node == "" {
		node = s.hostname
	}
	return apiserver.New(apiserver.Options{
		Address: apiserver.Address{URL: k.APIServer, Credentials: k.Credentials}, Node: node,
		LabelMax: cfg.Plugins.Container.LabelMaxLen, Deliver: s.learnPod, Log: s.log,
	})
}

// learnPod is learn for facts from the API server about a pod.
func (s *sensor) learnPod(ctx context.Context, uid string, w *container.Workload) {
	_ = s.engine.Do(ctx, func() { s.table.UpdateWorkload(uid, w) }) // see learn
}

func (s *sensor) servePods(ctx context.Context) error {
	s.pods.Run(ctx)
	return nil
}
