package sensor

import (
	"cmp"
	"context"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/container/apiserver"
	"github.com/peregrine-sec/peregrine/internal/sensor/container/runtimes"
	"github.com/peregrine-sec/peregrine/internal/sensor/engine"
)

// newInventory makes the client of the configured container runtimes; nil if
// the containers are not on this machine.
func (s *sensor) newInventory(cfg *config.Config) *runtimes.Inventory {
	plugin := cfg.Plugins.Container
	if cfg.Engine.Kind == "replay" || plugin.Engines.Static.Enabled {
		return nil
	}
	engine := func(e config.SocketEngine) runtimes.Engine { return runtimes.Engine(e) }
	e := plugin.Engines
	endpoints := runtimes.Endpoints(
		runtimes.Engines{Docker: engine(e.Docker), Podman: engine(e.Podman), CRI: engine(e.CRI), Containerd: engine(e.Containerd)},
		runtimes.Settings{HostRoot: s.hostRoot(), LabelMax: plugin.LabelMaxLen, Hooks: plugin.Hooks},
	)
	return runtimes.New(runtimes.Options{
		Endpoints: endpoints, Log: s.log, Deliver: s.learn, Unknown: s.unknownContainers,
		Timeout: time.Duration(plugin.EngineTimeout) * time.Second,
	})
}

// containerOptions say how the process table recognises containers.
func (s *sensor) containerOptions(cfg *config.Config) container.Options {
	e := cfg.Plugins.Container.Engines
	o := container.Options{Fresh: func() {
		if s.inventory != nil {
			s.inventory.Fresh()
		}
	}, Watched: func() bool { return s.pods != nil && s.pods.Watched() }}
	for _, named := range []struct {
		kind   string
		engine config.NamedEngine
	}{{container.LXC, e.LXC}, {container.LibvirtLXC, e.LibvirtLXC}, {container.BPM, e.BPM}} {
		if !named.engine.Enabled {
			o.Ignored = append(o.Ignored, named.kind)
		}
	}
	if e.Static.Enabled {
		o.Static = &container.Container{
			ID: container.Short(e.Static.ID), FullID: e.Static.ID, Known: true, Name: e.Static.Name, Image: e.Static.Image,
		}
		o.Static.ImageRepository, o.Static.ImageTag, o.Static.ImageDigest = container.SplitImage(e.Static.Image)
	}
	return o
}

// engineOptions are the engine's settings: alerts wait for metadata if there is
// a source of it.
func (s *sensor) engineOptions(cfg *config.Config, first *settings) engine.Options {
	o := engine.Options{Table: s.table, Rules: first.rules, Static: first.static, Emit: s.emit}
	if s.inventory != nil {
		o.MetadataWait, o.Awaited = time.Duration(cfg.Peregrine.MetadataWait)*time.Millisecond, s.inventory.Present
	}
	return o
}

// learn stores metadata from a runtime, between two batches of events.
func (s *sensor) learn(ctx context.Context, m container.Container) {
	// It fails only when the sensor stops, and does not matter then.
	_ = s.engine.Do(ctx, func() { s.table.UpdateContainer(m) })
}

// maxUnknown bounds the containers of one request.
const maxUnknown = 1024

func (s *sensor) unknownContainers(ctx context.Context) []string {
	var ids []string
	_ = s.engine.Do(ctx, func() { ids = s.table.Containers().Unknown(nil, maxUnknown) }) // see learn
	return ids
}

// hostRoot is where the host's root is mounted: the sensor may run in a
// container.
func (s *sensor) hostRoot() string { return s.opt.Getenv("HOST_ROOT") }

// newPods makes the watcher that asks the Kubernetes API server about the pods
// of this node; nil without a server.
func (s *sensor) newPods(cfg *config.Config) *apiserver.Watcher {
	k := cfg.Peregrine.Kubernetes
	if s.inventory == nil || cfg.Engine.Kind == "nodriver" || !k.Enabled || k.APIServer == "" && !apiserver.InPod() {
		return nil
	}
	return apiserver.New(apiserver.Options{
		Address:  apiserver.Address{URL: k.APIServer, Credentials: k.Credentials},
		Node:     cmp.Or(k.Node, s.opt.Getenv("FALCO_K8S_NODE_NAME"), s.hostname),
		LabelMax: cfg.Plugins.Container.LabelMaxLen, Deliver: s.learnPod, Log: s.log,
	})
}

// learnPod is learn for facts from the API server about a pod.
func (s *sensor) learnPod(ctx context.Context, uid string, w *container.Workload) {
	_ = s.engine.Do(ctx, func() { s.table.UpdateWorkload(uid, w) }) // see learn
}
