package container

import "strings"

// Registry shares one Container among all processes of a container. It
// belongs to the process table's goroutine.
//
// A container stays while it has processes, and some sweeps longer, so that
// its metadata survives the moment between its first process's exit and the
// next exec in it. The zero Registry is ready.
type Registry struct {
	byID map[string]*Container // by short id
}

// keepSweeps is how many sweeps a container without processes survives.
const keepSweeps = 60

// Acquire returns the container of a process with these cgroups (see
// Identify), which must be given back by Release.
func (r *Registry) Acquire(cgroups string) *Container {
	i := Identify(cgroups)
	if i.FullID == "" {
		return Host
	}
	c := r.byID[i.ID()]
	if c == nil {
		full := strings.Clone(i.FullID)
		c = &Container{ID: Identity{FullID: full}.ID(), FullID: full, Type: i.Type}
		r.add(c)
	} else if c.FullID == "" { // its metadata came first, without it
		c.FullID, c.Type = strings.Clone(i.FullID), i.Type
	}
	return r.Share(c)
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

// Get returns the container with the given short id, nil if there is none.
func (r *Registry) Get(id string) *Container {
	if id == Host.ID {
		return Host
	}
	return r.byID[id]
}

// Len is the number of containers, without the host.
func (r *Registry) Len() int { return len(r.byID) }

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
	m.users, m.idle, m.Known = c.users, c.idle, true
	if m.FullID == "" {
		m.FullID = c.FullID
	}
	if m.Type == "" {
		m.Type = c.Type
	}
	*c = m
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
