package kubernetes

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
)

// neighbour makes the objects of a run on another DaemonSet in the namespace of
// the load.
func (c *cluster) neighbour(namespace string, labels object) {
	c.namespaces["/"+namespace] = object{"metadata": object{"name": namespace, "labels": labels, "annotations": object{record: "elsewhere/peregrine"}}}
	c.jobs[namespace+"/theirs"] = object{"metadata": object{"namespace": namespace, "name": "theirs",
		"labels": object{runLabel: "theirs", sensorLabel: "elsewhere.peregrine"}}}
}

// The namespace that a run on another DaemonSet has made is left alone.
func TestNamespaceOfAnother(t *testing.T) {
	c, client := newCluster(t, 1, 1)
	o := options(t, client)
	c.neighbour(o.Namespace, object{runLabel: "theirs", sensorLabel: "elsewhere.peregrine"})
	if did, err := Restore(context.Background(), o); err != nil || len(did) > 0 {
		t.Errorf("did %q, %v", did, err)
	}
	_, err := Run(context.Background(), o)
	var refused *sweep.PreflightError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "restore --daemonset elsewhere/peregrine -n peregrine-capacity`") {
		t.Errorf("error %v", err)
	}
	r, err := newRun(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.makeNamespace(context.Background()); !errors.As(err, &refused) { // it was made after the first look
		t.Errorf("error %v", err)
	}
	if c.namespaces["/"+o.Namespace] == nil || len(c.jobs) != 1 || c.calls["POST jobs"] > 0 {
		t.Errorf("namespaces %v, Jobs %v", c.namespaces, c.jobs)
	}
}

// In a namespace that is there, runs on several DaemonSets do not see each
// other's Jobs.
func TestJobsOfAnother(t *testing.T) {
	c, client := newCluster(t, 1, 1)
	c.log = measured
	o := options(t, client)
	c.neighbour(o.Namespace, object{})
	c.jobs[o.Namespace+"/ours"] = object{"metadata": object{"namespace": o.Namespace, "name": "ours",
		"labels": object{runLabel: "dead", sensorLabel: "security.falco"}}}
	did, err := Restore(context.Background(), o)
	if err != nil || len(did) != 1 || !strings.Contains(did[0], "deleted 1 Jobs") {
		t.Errorf("did %q, %v", did, err)
	}
	if _, err := Run(context.Background(), o); err != nil {
		t.Error(err)
	}
	if len(c.jobs) != 1 || c.jobs[o.Namespace+"/theirs"] == nil || c.namespaces["/"+o.Namespace] == nil {
		t.Errorf("Jobs %v, namespaces %v", c.jobs, c.namespaces)
	}
}

// Jobs bear the label by which they are found.
func TestLabel(t *testing.T) {
	labels := member(member((&load{run: "r", sensor: "security.falco"}).job(), "metadata"), "labels")
	if labels[sensorLabel] != "security.falco" {
		t.Errorf("labels %v", labels)
	}
	long := &daemonSet{Metadata: meta{Namespace: "security", Name: strings.Repeat("falco-", 20) + "a"}}
	other := &daemonSet{Metadata: meta{Namespace: "security", Name: strings.Repeat("falco-", 20) + "b"}}
	if got := long.label(); len(got) != 63 || got == other.label() || !strings.HasPrefix(got, "security.falco-") {
		t.Errorf("label %q, other %q", got, other.label())
	}
}
