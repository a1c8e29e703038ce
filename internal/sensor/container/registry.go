package container

import (
	"cmp"
	"slices"
	"strings"
)

// Options are the settings of a Registry.
type Options struct {
	// Static, if not nil, is the container that everything runs in.
	Static *Container
	// Ignored are the types of containers (LXC, LibvirtLXC, BPM) that count as
	// the host.
	Ignored []string
	// Fresh is called when a container appears of which only the id is known. It
	// must not block. nil: not called.
	Fresh func()
	// Watched says whether the API server reports new pods now; nil: never.
	Watched func() bool
}

// Registry shares one Container among all processes of a container. It
// belongs to the process table's goroutine.
//
// A container stays while it has processes, and some sweeps longer, so that
// its metadata survives the moment between its first process's exit and the
// next exec in it. The zero Registry is ready.
type Registry struct {
	options Options
	byID    map[string]*Container // by short id
	// workloads are those of the node's pods, by the pod's UID.
	workloads map[string]*Workload
}

// NewRegistry returns an empty Registry.
func NewRegistry(o Options) Registry { return Registry{options: o} }

const (
	// keepSweeps is the number of sweeps that a container without processes
	// survives.
	keepSweeps = 60
	// askSweeps is the number of sweeps for which metadata of a container
	// without processes is requested: an alert may be waiting.
	askSweeps = 2
)

// Acquire returns the container of a process with these cgroups (see
// identify), which must be given back by Release.
func (r *Registry) Acquire(cgroups string) *Container {
	if r.options.Static != nil {
		return r.options.Static
	}
	i := identify(cgroups)
	if r.isHost(i) {
		return Host
	}
	c := r.byID[i.ID()]
	if c == nil {
		c = r.create(i)
	} else if c.FullID == "" { // its metadata came first, without it
		c.FullID, c.Type = strings.Clone(i.FullID), i.Type
	}
	return r.Share(c)
}

// Outside says whether processes in these cgroups are in no container: whether
// Acquire gives Host.
func (r *Registry) Outside(cgroups string) bool {
	return r.options.Static == nil && r.isHost(identify(cgroups))
}

func (r *Registry) isHost(i Identity) bool {
	return i.FullID == "" || slices.Contains(r.options.Ignored, i.Type)
}

// create makes the entry of a container that has just been seen. The name in
// the cgroup is all there is to know of LXC, libvirt and BPM.
func (r *Registry) create(i Identity) *Container {
	full := strings.Clone(i.FullID)
	c := &Container{ID: Short(full), FullID: full, Type: i.Type}
	switch i.Type {
	case LXC, LibvirtLXC, BPM:
		c.Known, c.Name = true, full
	}
	r.add(c)
	if !c.Known && r.options.Fresh != nil {
		r.options.Fresh()
	}
	return c
}

// Share returns c for one more process of it: a child is where its parent is.
func (r *Registry) Share(c *Container) *Container {
	if c != Host {
		c.users++
		c.idle = 0
	}
	return c
}

// Release says that a process has left c.
func (r *Registry) Release(c *Container) {
	if c != Host {
		c.users--
	}
}

// Get returns the container with the given short id, nil if absent.
func (r *Registry) Get(id string) *Container {
	if id == Host.ID {
		return Host
	}
	return r.byID[id]
}

// All calls yield for every container but the host, until that returns false.
func (r *Registry) All(yield func(*Container) bool) {
	for _, c := range r.byID {
		if !yield(c) {
			return
		}
	}
}

// Len is the number of containers, without the host.
func (r *Registry) Len() int { return len(r.byID) }

// Counts are how many containers are known, and how many of those have no
// image.
func (r *Registry) Counts() (known, imageless int) {
	for _, c := range r.byID {
		if c.Known {
			known++
			if c.Image == "" {
				imageless++
			}
		}
	}
	return known, imageless
}

// Unknown appends to ids the full ids of containers that live, or lived a
// moment ago, and have no metadata: at most limit.
func (r *Registry) Unknown(ids []string, limit int) []string {
	for _, c := range r.byID {
		if len(ids) >= limit {
			break
		}
		if !c.Known && c.FullID != "" && (c.users > 0 || c.idle <= askSweeps) {
			ids = append(ids, c.FullID)
		}
	}
	return ids
}

// Update fills in the metadata m of the container m.ID, and returns the shared
// Container; metadata that comes before the first process is kept for it.
// Conditions about the container's processes may change by it, so callers go
// through the process table's UpdateContainer.
func (r *Registry) Update(m Container) *Container {
	if m.ID == Host.ID {
		return Host
	}
	c := r.byID[m.ID]
	if c == nil {
		c = &Container{ID: m.ID}
		r.add(c)
	}
	if c.Known && c.Rank < m.Rank {
		return c
	}
	m.users, m.idle, m.WaitUntil, m.Known = c.users, c.idle, c.WaitUntil, true
	m.FullID = cmp.Or(m.FullID, c.FullID)
	m.Type = cmp.Or(m.Type, c.Type)
	*c = m
	r.join(c)
	return c
}

// Sweep forgets containers that have had no process for many sweeps. It is
// meant to be called about once a second.
func (r *Registry) Sweep() {
	for id, c := range r.byID {
		if c.users > 0 {
			continue
		}
		if c.idle++; c.idle > keepSweeps {
			delete(r.byID, id)
		}
	}
}

func (r *Registry) add(c *Container) {
	if r.byID == nil {
		r.byID = make(map[string]*Container)
	}
	r.byID[c.ID] = c
}
