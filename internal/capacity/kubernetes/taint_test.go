package kubernetes

import (
	"context"
	"testing"
	"testing/synctest"
)

func TestTolerates(t *testing.T) {
	dedicated := taint{Key: "dedicated", Value: "db", Effect: "NoSchedule"}
	for name, test := range map[string]struct {
		toleration toleration
		want       bool
	}{
		"everything":     {toleration{Operator: "Exists"}, true},
		"the key":        {toleration{Key: "dedicated", Operator: "Exists"}, true},
		"the value":      {toleration{Key: "dedicated", Value: "db"}, true},
		"the effect":     {toleration{Key: "dedicated", Operator: "Equal", Value: "db", Effect: "NoSchedule"}, true},
		"another value":  {toleration{Key: "dedicated", Value: "web"}, false},
		"another key":    {toleration{Key: "spot", Operator: "Exists"}, false},
		"another effect": {toleration{Operator: "Exists", Effect: "NoExecute"}, false},
	} {
		if got := test.toleration.tolerates(dedicated); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A node whose taint would keep the sensor's own pod from coming back is refused, or left
// out; those that every pod of a DaemonSet tolerates are not.
func TestTaints(t *testing.T) {
	taints := func(c *cluster, node int, key, effect string) {
		c.nodes[node]["spec"] = object{"taints": []any{object{"key": key, "effect": effect}}}
	}
	c, client := newCluster(t, 1, 1)
	taints(c, 0, "dedicated", "NoSchedule")
	refuses(t, c, options(t, client), "node node-0 has the taint dedicated:NoSchedule, which DaemonSet security/falco does not tolerate")

	synctest.Test(t, func(t *testing.T) {
		for name, change := range map[string]func(c *cluster){
			"tolerated": func(c *cluster) {
				c.template()["tolerations"] = []any{object{"key": "dedicated", "operator": "Exists"}}
			},
			"of no consequence":     func(c *cluster) { taints(c, 0, "dedicated", "PreferNoSchedule") },
			"of memory that is low": func(c *cluster) { taints(c, 0, "node.kubernetes.io/memory-pressure", "NoSchedule") },
		} {
			c, client := newCluster(t, 1, 1)
			c.log = measured
			taints(c, 0, "dedicated", "NoSchedule")
			change(c)
			if _, err := Run(context.Background(), options(t, client)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			c.asBefore()
		}
		c, client := newCluster(t, 2, 1)
		c.log = measured
		taints(c, 0, "dedicated", "NoSchedule")
		o := options(t, client)
		o.Nodes, o.EachKind = nil, true
		if found, err := Run(context.Background(), o); err != nil || len(found) != 1 || found[0].Name != "node-1" {
			t.Errorf("%+v, %v", found, err)
		}
		c.asBefore()
	})
}
