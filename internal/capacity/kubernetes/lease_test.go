package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
)

const leaseName = sensorNamespace + "/" + product + "-falco"

// held makes the Lease of a holder, who has renewed it at a time of its own clock.
func (c *cluster) held(holder string, renewed time.Time) {
	o := object{
		"metadata": object{"name": product + "-falco"},
		"spec":     object{"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": renewed.UTC().Format(metav1.RFC3339Micro)},
	}
	c.version(o)
	c.leases[leaseName] = o
}

// ticking is a clock that goes on by the length of a lease at each look.
func ticking() func() time.Time {
	clock := time.Now()
	return func() time.Time { clock = clock.Add(leaseLength); return clock }
}

// A run beside one that is alive is refused, and changes nothing, whatever the
// time is on the other's host.
func TestBesideAnotherRun(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"the same clock": 0, "a clock that is behind": -time.Hour, "a clock that is ahead": time.Hour} {
		t.Run(name, func(t *testing.T) {
			c, client := newCluster(t, 1, 1)
			renewed := time.Now().Add(ahead)
			c.before = func(c *cluster, r *http.Request) {
				if strings.Contains(r.URL.Path, "/leases") {
					renewed = renewed.Add(leaseRenew)
					c.held("elsewhere/7", renewed)
				}
			}
			o := options(t, client)
			o.Now = ticking()
			_, err := Run(context.Background(), o)
			var refused *sweep.PreflightError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), "another run measures DaemonSet security/falco (elsewhere/7)") {
				t.Errorf("error %v", err)
			}
			if n := c.calls["DELETE leases"] + c.calls["DELETE pods"] + c.calls["POST namespaces"]; n > 0 {
				t.Errorf("%d changes", n)
			}
		})
	}
}

// A holder that does not renew is dead, whatever the time was on its host.
func TestDeadHolder(t *testing.T) {
	c, client := newCluster(t, 1, 1)
	c.held("dead/7", time.Now().Add(24*time.Hour))
	o := options(t, client)
	o.Now = ticking()
	if _, err := Restore(context.Background(), o); err != nil {
		t.Error(err)
	}
	c.asBefore()
}

// holding is a run that holds the lease, without renewing it by itself.
func holding(t *testing.T, o Options) (*run, *lease) {
	t.Helper()
	r, err := newRun(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	mine := &lease{Metadata: meta{Name: product + "-falco", Namespace: sensorNamespace}, Spec: leaseSpec{Holder: "we, run " + r.id}}
	if err := r.take(context.Background(), mine); err != nil {
		t.Fatal(err)
	}
	return r, mine
}

// A renewal whose answer was lost does not end the renewals.
func TestLostAnswer(t *testing.T) {
	c, client := newCluster(t, 1, 1)
	r, mine := holding(t, options(t, client))
	known := mine.Metadata.ResourceVersion
	for range 3 {
		if err := r.renew(context.Background(), mine); err != nil {
			t.Fatal(err)
		}
		mine.Metadata.ResourceVersion = known // as if none of the answers had come
	}
	if is := c.leases[leaseName]["spec"].(object)["renewTime"]; is != mine.Spec.Renewed {
		t.Errorf("renewed at %v, want %s", is, mine.Spec.Renewed)
	}
}

// Another's lease, or none, tells a run that it has lost its own.
func TestLostLease(t *testing.T) {
	for want, change := range map[string]func(*cluster){
		"another run has taken over DaemonSet security/falco (thief/9)": func(c *cluster) { c.held("thief/9", time.Now()) },
		"the Lease of this run on DaemonSet security/falco was deleted": func(c *cluster) { clear(c.leases) },
	} {
		c, client := newCluster(t, 1, 1)
		r, mine := holding(t, options(t, client))
		change(c)
		if err := r.renew(context.Background(), mine); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	_, client := newCluster(t, 1, 1)
	r, mine := holding(t, options(t, client))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.renew(ctx, mine); err != nil {
		t.Errorf("a renewal that was not answered: %v", err)
	}
}

// A run that has lost its lease ends, deletes its own copy, and leaves the
// other's objects.
func TestTakenOver(t *testing.T) {
	c, client := newCluster(t, 1, 1)
	c.log = func(string) (string, int) {
		c.held("thief/9", time.Now())
		return "", goesOn
	}
	theirs := 0
	c.before = func(c *cluster, r *http.Request) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/leases/"+product+"-falco") {
			c.namespaces["/peregrine-capacity"]["metadata"].(object)["labels"].(object)[runLabel] = "thief"
			body := convert[object](convert[*daemonSet](daemonSetObject()).makeCopy(copied{run: "thief", node: "node-0", container: "falco"}))
			body["spec"].(object)["nodeName"] = "node-0"
			c.add(body)
			theirs++
		}
	}
	o := options(t, client)
	found, err := Run(context.Background(), o)
	var lost *lostLease
	if !errors.As(err, &lost) || lost.holder != "thief/9" || errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if r := found[0].Result; !r.Partial || len(r.Rows) > 0 || !strings.Contains(found[0].Error, "thief/9") {
		t.Errorf("partial %v, %d rows, %s", r.Partial, len(r.Rows), found[0].Error)
	}
	var left []string
	for _, p := range c.pods {
		metadata := p["metadata"].(object)
		if labels, _ := metadata["labels"].(object); labels[runLabel] != nil && metadata["deletionTimestamp"] == nil {
			left = append(left, fmt.Sprint(labels[runLabel]))
		}
	}
	if strings.Join(left, " ") != "thief" || theirs != 1 {
		t.Errorf("copies that are left: %q", left)
	}
	if c.leases[leaseName] == nil || c.namespaces["/peregrine-capacity"] == nil {
		t.Errorf("leases %v, namespaces %v", c.leases, c.namespaces)
	}
}

// The end of a run does not delete the lease of another, which it has not seen.
func TestReleaseOfAnother(t *testing.T) {
	c, client := newCluster(t, 1, 1)
	r, err := newRun(context.Background(), options(t, client))
	if err != nil {
		t.Fatal(err)
	}
	_, release, err := r.hold(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	c.held("thief/9", time.Now())
	release()
	if c.leases[leaseName] == nil {
		t.Error("the lease of the other was deleted")
	}
}
