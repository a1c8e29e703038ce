package container

// Workload holds facts about a pod from the Kubernetes API server that no
// runtime knows: its owners, and the services that lead to it. It is immutable;
// a change arrives as a new one.
type Workload struct {
	// Those that do not run the pod are zero.
	ReplicaSet, Deployment, ReplicationController Object
	Namespace                                     Object
	Services                                      []Object // whose selector the pod's labels meet, by name
}

// Object is one of the API server's.
type Object struct {
	Name, UID string
	Labels    map[string]string
}

// UpdateWorkload stores the API server's facts about the pod with a UID, and
// returns the pod's containers. nil says that the pod has gone: remaining
// containers keep their facts. Callers go through the process table, as for
// Update.
func (r *Registry) UpdateWorkload(uid string, w *Workload) []*Container {
	if w == nil {
		delete(r.workloads, uid)
		return nil
	}
	if r.workloads == nil {
		r.workloads = make(map[string]*Workload)
	}
	r.workloads[uid] = w
	var changed []*Container
	for _, c := range r.byID {
		if c.Pod != nil && c.Pod.UID == uid {
			c.Pod.Workload, c.pending = w, false
			changed = append(changed, c)
		}
	}
	return changed
}

// join gives c the workload of its pod. One that will be told is pending.
func (r *Registry) join(c *Container) {
	if c.Pod == nil || c.Pod.UID == "" {
		return
	}
	if w := r.workloads[c.Pod.UID]; w != nil { // else a capture may have told it
		c.Pod.Workload = w
	}
	c.pending = c.Pod.Workload == nil && r.options.Watched != nil && r.options.Watched()
}
