package container

import "testing"

func TestRegistryShares(t *testing.T) {
	var r Registry
	if c := r.Acquire("memory=/system.slice/ssh.service"); c != Host {
		t.Fatalf("host process is in %+v", c)
	}
	a := r.Acquire("memory=/docker/" + idA)
	b := r.Acquire("=/system.slice/docker-" + idA + ".scope")
	if a != b || a.ID != idA[:12] || a.FullID != idA || a.Type != Docker || a.Known {
		t.Fatalf("got %+v and %+v", a, b)
	}
	if r.Get(a.ID) != a || r.Get("host") != Host || r.Get("nosuch") != nil {
		t.Error("Get does not find what Acquire made")
	}
}

func TestRegistryUpdateFillsSharedContainer(t *testing.T) {
	var r Registry
	a := r.Acquire("=/docker/" + idA)
	u := r.Update(Container{ID: a.ID, Name: "web", Image: "nginx:1", ImageRepository: "nginx", ImageTag: "1"})
	if u != a || !a.Known || a.Name != "web" || a.FullID != idA || a.Type != Docker {
		t.Errorf("got %+v", a)
	}
	if r.Update(Container{ID: "host", Name: "x"}); Host.Name != "host" {
		t.Error("the host can be renamed")
	}
}

func TestRegistryKeepsLowerRank(t *testing.T) {
	var r Registry
	for _, m := range []Container{{Rank: 101, Name: "user"}, {Rank: 2, Name: "cri"}, {Rank: 101, Name: "forged"}, {Rank: 3, Name: "containerd"}} {
		m.ID, m.FullID = idA[:12], idA
		r.Update(m)
	}
	if c := r.Get(idA[:12]); c.Name != "cri" {
		t.Errorf("got %+v", c)
	}
}

func TestRegistryKeepsMetadataThatComesFirst(t *testing.T) {
	var r Registry
	r.Update(Container{ID: idA[:12], FullID: idA, Type: Podman, Name: "early"})
	if c := r.Acquire("=/docker/" + idA); c.Name != "early" || c.Type != Podman {
		t.Errorf("got %+v", c)
	}
}

func TestRegistrySweep(t *testing.T) {
	var r Registry
	a := r.Acquire("=/docker/" + idA)
	b := r.Acquire("=/docker/" + idB)
	r.Release(b)
	for range keepSweeps {
		r.Sweep()
	}
	if r.Len() != 2 {
		t.Fatal("forgotten too early")
	}
	if r.Acquire("=/docker/"+idB) != b {
		t.Fatal("an idle container lost its identity")
	}
	r.Release(b)
	for range keepSweeps + 1 {
		r.Sweep()
	}
	if r.Get(a.ID) != a || r.Get(b.ID) != nil {
		t.Error("a container with processes was forgotten, or one without was kept")
	}
}

// A container is complete when its pod's workload has arrived, before its
// metadata or after, if the API server reports pods at all.
func TestRegistryJoinsWorkloads(t *testing.T) {
	watched := false
	r := NewRegistry(Options{Watched: func() bool { return watched }})
	update := func(uid string) *Container {
		return r.Update(Container{ID: idA[:12], Pod: &Pod{Name: "web", UID: uid}})
	}
	if c := r.Acquire("=/docker/" + idA); c.Complete() {
		t.Error("complete before anything is known")
	}
	if c := update("u"); !c.Complete() {
		t.Error("waits for an API server that does not tell")
	}
	watched = true
	if c := update(""); !c.Complete() {
		t.Error("waits for a pod without a name")
	}
	c := update("u")
	if c.Complete() {
		t.Error("complete without its workload")
	}
	w := &Workload{}
	if got := r.UpdateWorkload("other", w); len(got) != 0 || c.Complete() {
		t.Errorf("another pod's workload changed %v", got)
	}
	if got := r.UpdateWorkload("u", w); len(got) != 1 || got[0] != c || !c.Complete() || c.Pod.Workload != w {
		t.Errorf("changed %v, %+v", got, c)
	}
	if c := update("u"); !c.Complete() || c.Pod.Workload != w {
		t.Errorf("a workload that came first: %+v", c)
	}
	if got := r.UpdateWorkload("u", nil); got != nil || c.Pod.Workload != w {
		t.Error("a process of a pod that has gone lost what it knew")
	}
	if c := update("u"); c.Complete() || len(r.workloads) != 1 {
		t.Errorf("a pod that has gone is still known: %+v", r.workloads)
	}
}
