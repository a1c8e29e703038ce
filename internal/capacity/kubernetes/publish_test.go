package kubernetes

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
)

// Files that do not fit into a ConfigMap are left out, the largest first.
func TestPublish(t *testing.T) {
	c, client := newCluster(t, 1, 1)
	files := map[string]string{"report.md": "| a |", "result.json": strings.Repeat("x", 900<<10), "report.html": strings.Repeat("y", 950<<10)}
	for range 2 { // the second time it is there
		left, err := Publish(context.Background(), client, "ns", "report", files)
		if err != nil || len(left) != 1 || left[0] != "report.html" {
			t.Errorf("left %q, %v", left, err)
		}
	}
	data := c.namespaces["ns/report"]["data"].(object)
	if len(data) != 2 || data["report.md"] != "| a |" {
		t.Errorf("%d files", len(data))
	}
}

// A report that could not be kept is refused before anything is measured.
func TestNowhereToPublish(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*cluster)
		want   string
	}{
		"in the namespace that is made": {func(*cluster) {}, "deleted with it: name a namespace that is there with -n"},
		"in that of a killed run": {func(c *cluster) {
			c.namespaces["/peregrine-capacity"] = object{"metadata": object{"name": "peregrine-capacity", "labels": object{runLabel: "dead", sensorLabel: "security.falco"}}}
		}, "deleted with it"},
		"in somebody's ConfigMap": {func(c *cluster) {
			c.namespaces["/peregrine-capacity"] = object{"metadata": object{"name": "peregrine-capacity"}}
			c.namespaces["peregrine-capacity/report"] = object{"metadata": object{"name": "report"}}
		}, "ConfigMap peregrine-capacity/report is there and holds no report"},
	} {
		t.Run(name, func(t *testing.T) {
			c, client := newCluster(t, 1, 1)
			test.change(c)
			o := options(t, client)
			o.Publish = "report"
			_, err := Run(context.Background(), o)
			var refused *sweep.PreflightError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want %q", err, test.want)
			}
			if n := c.calls["POST leases"] + c.calls["POST pods"] + c.calls["POST namespaces"]; n > 0 {
				t.Errorf("%d changes", n)
			}
		})
	}
}

// A ConfigMap that is no report is not replaced, even if made during the run.
func TestPublishOver(t *testing.T) {
	c, client := newCluster(t, 1, 1)
	c.namespaces["ns/report"] = object{"metadata": object{"name": "report", "labels": object{partOf: "shop"}}, "data": object{"mine": "x"}}
	if _, err := Publish(context.Background(), client, "ns", "report", map[string]string{"report.md": "a"}); err == nil || !strings.Contains(err.Error(), "choose another name") {
		t.Errorf("error %v", err)
	}
	if data := c.namespaces["ns/report"]["data"].(object); data["mine"] != "x" {
		t.Errorf("it holds %v", data)
	}
}
