package field_test

import (
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/test/support/fieldtest"
)

// Facts from the API server about a pod have Falco's names of before 0.37 and
// those of its plugin k8smeta: this shows a row of docs/compatibility.md.
func TestWorkload(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	w := fieldtest.New(t, fieldtest.Proc{PID: 20, Comm: "sh", Cgroups: []string{"memory=/docker/" + id}})
	w.Table.UpdateContainer(container.Container{ID: id[:12], Pod: &container.Pod{
		Name: "web-7c-x", Namespace: "shop", UID: "u-1", IP: "10.1.2.3", Labels: map[string]string{"tier": "front", "app": "web", "annotation.x": "y"},
	}})
	runtimeOnly := map[string]string{
		"k8s.pod.name": "web-7c-x", "k8smeta.pod.name": "web-7c-x", "k8smeta.pod.uid": "u-1", "k8smeta.pod.ip": "10.1.2.3",
		"k8smeta.pod.label[app]": "web", "k8smeta.pod.labels": "app:web,tier:front", "k8smeta.ns.name": "shop", "k8s.ns.name": "shop",
	}
	check(t, w.Event(t, 20, event.KindClose), runtimeOnly)
	check(t, w.Event(t, 20, event.KindClose), map[string]string{
		"k8s.ns.id": "-", "k8s.ns.labels": "-", "k8s.rs.name": "-", "k8s.deployment.label.app": "-", "k8s.svc.name": "-", "k8s.svc.labels": "-",
		"k8smeta.svc.name": "-", "k8smeta.rs.labels": "-", "k8smeta.svc.label[a]": "-", "k8smeta.deployment.uid": "-",
	})

	w.Table.UpdateWorkload("u-1", &container.Workload{
		ReplicaSet: container.Object{Name: "web-7c", UID: "r-1", Labels: map[string]string{"hash": "7c"}},
		Deployment: container.Object{Name: "web", UID: "d-1", Labels: map[string]string{"app": "web", "empty": ""}},
		Namespace:  container.Object{Name: "shop", UID: "n-1", Labels: map[string]string{"team": "store"}},
		Services: []container.Object{
			{Name: "front", UID: "s-1", Labels: map[string]string{"a": "1"}}, {Name: "web", UID: "s-2", Labels: map[string]string{"a": "2", "b": "3"}},
		},
	})
	check(t, w.Event(t, 20, event.KindClose), runtimeOnly)
	check(t, w.Event(t, 20, event.KindClose), map[string]string{
		"k8s.rs.name": "web-7c", "k8s.rs.id": "r-1", "k8s.rs.labels": "hash:7c", "k8s.rs.label.hash": "7c", "k8s.rs.label[x]": "-",
		"k8s.deployment.name": "web", "k8s.deployment.id": "d-1", "k8s.deployment.labels": "app:web, empty", "k8s.deployment.label[app]": "web",
		"k8s.rc.name": "-", "k8s.rc.labels": "-", "k8smeta.rc.name": "-", "k8smeta.rc.labels": "-",
		"k8s.ns.id": "n-1", "k8s.ns.labels": "team:store", "k8s.ns.label.team": "store",
		"k8s.svc.name": "front, web", "k8s.svc.id": "s-1, s-2", "k8s.svc.labels": "a:1, a:2, b:3", "k8s.svc.label.b": "3", "k8s.svc.label[a]": "1, 2", "k8s.svc.label[x]": "-",
		"k8smeta.rs.name": "web-7c", "k8smeta.rs.uid": "r-1", "k8smeta.rs.labels": "hash:7c",
		"k8smeta.deployment.name": "web", "k8smeta.deployment.uid": "d-1", "k8smeta.deployment.label[app]": "web", "k8smeta.deployment.labels": "app:web,empty",
		"k8smeta.ns.uid": "n-1", "k8smeta.ns.label[team]": "store", "k8smeta.ns.labels": "team:store",
		"k8smeta.svc.name": "front,web", "k8smeta.svc.uid": "s-1,s-2", "k8smeta.svc.label[a]": "1,2", "k8smeta.svc.label[x]": "-", "k8smeta.svc.labels": "a:1,a:2,b:3",
	})

	w.Table.UpdateWorkload("u-1", nil) // the pod has gone, its process has not
	check(t, w.Event(t, 20, event.KindClose), map[string]string{"k8s.rs.name": "web-7c"})
}
