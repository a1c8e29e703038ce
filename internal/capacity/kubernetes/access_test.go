package kubernetes

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
)

// scopeOf is that of a run whose namespace is made, or is there.
func scopeOf(made bool) Scope {
	return Scope{Sensor: sensorNamespace, Load: "peregrine-capacity", Find: true, Kinds: true, Namespace: made, Publish: !made}
}

// runIn are the options of that run.
func (c *cluster) runIn(o Options, made bool) Options {
	o.Nodes, o.EachKind = nil, true
	if !made {
		c.namespaces["/"+o.Namespace] = object{"metadata": object{"name": o.Namespace}}
		o.Publish = "report"
	}
	return o
}

// Each missing right is reported before anything changes.
func TestEachRight(t *testing.T) {
	for _, made := range []bool{false, true} {
		for _, missing := range scopeOf(made).rights() {
			c, client := newCluster(t, 1, 1)
			c.denied[missing] = true
			refuses(t, c, c.runIn(options(t, client), made), missing.String())
		}
	}
}

// The role has the rights that runs use, and no more.
func TestSmallestRole(t *testing.T) {
	used, want := map[right]bool{}, map[right]bool{}
	for _, made := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c, client := newCluster(t, 1, 1)
			c.log, c.resizes, c.late, c.used = measured, true, 10, used
			o := c.runIn(options(t, client), made)
			c.kill(o, func(*http.Request) bool { return c.calls["POST jobs"] > 0 })
			if made {
				o.DaemonSet = "security/falco"
			}
			if _, err := Run(context.Background(), o); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, err := Publish(context.Background(), client, o.Namespace, "report", nil); err != nil {
					t.Fatal(err)
				}
			}
		})
		for _, r := range scopeOf(made).rights() {
			want[r.plain()] = true
		}
	}
	did := map[right]bool{}
	for r := range used {
		if did[r.plain()] = true; !want[r.plain()] {
			t.Errorf("the role lacks %s", r)
		}
	}
	for r := range want {
		if !did[r] {
			t.Errorf("the role has a right that nothing uses: %s", r)
		}
	}
}

// plain is a right on a namespace without that: to get one is a right within it.
func (r right) plain() right {
	if r.resource == "namespaces" {
		r.namespace = ""
	}
	return r
}
