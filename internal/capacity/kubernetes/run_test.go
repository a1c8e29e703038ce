package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/sweep"
	"github.com/peregrine-sec/peregrine/internal/kubeapi"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

// No goroutine is left behind.
func TestMain(m *testing.M) {
	leaks.Main(m)
}

// measured is the log of a load that finds a capacity in proportion to the CPU.
func measured(args string) (string, int) {
	_, after, _ := strings.Cut(args, "--cpu ")
	cpu := 0.0
	_, _ = fmt.Sscan(after, &cpu)
	result := capacity.Result{Schema: capacity.Schema, Sensors: []capacity.Sensor{{Kind: "running"}}, Rows: []capacity.Row{{
		Limit: capacity.Limit{CPU: cpu, Memory: 512 << 20}, Status: capacity.Confirmed, Syscalls: 100e3 * cpu, EPS: 1e3 * cpu,
		Trials: []capacity.Trial{{}}, Clean: 0, Failed: -1,
	}}}
	text, _ := json.MarshalIndent(result, "", " ")
	return fmt.Sprintf("[1/1] %v CPU  ramp  1000/s for 3s  clean\nreport: /tmp/run/report.html\n%s\n", cpu, text), 0
}

func options(t *testing.T, client *kubeapi.Client) Options {
	return Options{
		Client: client, Namespace: "peregrine-capacity", Nodes: []string{"node-0"}, Image: "peregrine:1", PullPolicy: "Never", Port: 18080,
		Limits: []capacity.Limit{{CPU: 0.5, Memory: 512 << 20}, {CPU: 1, Memory: 512 << 20}}, Row: time.Second, Ready: 10 * time.Second,
		Now: time.Now, Say: func(format string, args ...any) { t.Logf(format, args...) },
	}
}

// asBefore checks that nothing is left of a run.
func (c *cluster) asBefore() {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, n := range c.nodes[:min(len(c.nodes), 50)] {
		c.step(n["metadata"].(object)["name"])
	}
	on := map[any]int{}
	for name, p := range c.pods {
		metadata := p["metadata"].(object)
		if labels, _ := metadata["labels"].(object); labels[runLabel] != nil {
			c.t.Errorf("the copy %s is left", name)
		}
		if metadata["namespace"] == sensorNamespace {
			on[p["spec"].(object)["nodeName"]]++
		}
	}
	for _, n := range c.nodes[:min(len(c.nodes), 50)] {
		if name := n["metadata"].(object)["name"]; on[name] != 1 {
			c.t.Errorf("%d pods of the sensor on %s", on[name], name)
		}
	}
	if len(c.leases)+len(c.namespaces)+len(c.jobs) > 0 {
		c.t.Errorf("left over: leases %v, namespaces %v, Jobs %v", c.leases, c.namespaces, c.jobs)
	}
}

func TestRun(t *testing.T) {
	c, client := newCluster(t, 2, 1)
	c.log = measured
	c.before = func(_ *cluster, r *http.Request) {
		if strings.Contains(r.URL.String(), "node-1") {
			t.Errorf("the other node was touched: %s %s", r.Method, r.URL)
		}
	}
	o := options(t, client)
	var said strings.Builder
	o.Say = func(format string, args ...any) { fmt.Fprintf(&said, format+"\n", args...) }
	found, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "[2/2] node-0  1 CPU  ramp  1000/s for 3s  clean  (about 0s left)") || strings.Contains(said.String(), "/tmp/run") {
		t.Errorf("said:\n%s", &said) // the last is a file of the load's own
	}
	rows := found[0].Result.Rows
	if len(rows) != 2 || rows[0].Syscalls != 50e3 || rows[1].Syscalls != 100e3 || found[0].Result.Partial {
		t.Errorf("rows %+v", rows)
	}
	if name := found[0].Result.Sensors[0].Name; !strings.Contains(name, "security/falco") || !strings.Contains(name, "0.44.1") {
		t.Errorf("the sensor is called %q", name)
	}
	c.asBefore()
}

// A copy that the scheduler has not given its node yet is waited for; it is not
// taken for one that the controller has replaced.
func TestBusyScheduler(t *testing.T) {
	c, client := newCluster(t, 1, 1)
	c.log, c.busy = measured, 1
	if _, err := Run(context.Background(), options(t, client)); err != nil {
		t.Fatal(err)
	}
	c.asBefore()
}

// CPU limits are changed in place where the cluster can; memory is not.
func TestResize(t *testing.T) {
	for name, test := range map[string]struct {
		resizes bool
		memory  int64 // of the second limit
		copies  int
	}{
		"the cluster can":      {true, 512 << 20, 1},
		"the cluster cannot":   {false, 512 << 20, 2},
		"another memory limit": {true, 256 << 20, 2},
	} {
		t.Run(name, func(t *testing.T) {
			c, client := newCluster(t, 1, 1)
			c.log, c.resizes = measured, test.resizes
			o := options(t, client)
			o.Limits[1].Memory = test.memory
			found, err := Run(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			if rows := found[0].Result.Rows; len(rows) != 2 || rows[1].Syscalls != 100e3 {
				t.Errorf("rows %+v", rows)
			}
			if made := c.calls["POST pods"] / 2; made != test.copies { // one of two is a dry run
				t.Errorf("%d copies, want %d", made, test.copies)
			}
			c.asBefore()
		})
	}
}

// Every missing permission is reported before anything is changed.
func TestNoPermission(t *testing.T) {
	c, client := newCluster(t, 1, 1)
	c.denied[right{sensorNamespace, "", "pods", "create"}], c.denied[right{"peregrine-capacity", "", "pods/log", "get"}] = true, true
	_, err := Run(context.Background(), options(t, client))
	var refused *sweep.PreflightError
	if !errors.As(err, &refused) {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{"create pods in namespace security", "get pods/log in namespace peregrine-capacity", "nothing was changed", "rbac"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	for call := range c.calls {
		if !strings.HasPrefix(call, "GET") && call != "POST selfsubjectaccessreviews" {
			t.Errorf("%s was called", call)
		}
	}
	c.asBefore()
}

// A limit under which the sensor does not become ready is a row that failed.
func TestNeverReady(t *testing.T) {
	c, client := newCluster(t, 1, 1)
	c.log = measured
	c.ready = func(p object) bool {
		limits := p["spec"].(object)["containers"].([]any)[0].(object)["resources"].(object)["limits"].(object)
		return limits["cpu"] != "500m"
	}
	o := options(t, client)
	o.Ready = 2 * time.Second
	found, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	rows := found[0].Result.Rows
	if rows[0].Status != capacity.Failed || !strings.Contains(rows[0].Error, "CrashLoopBackOff") || rows[1].Status != capacity.Confirmed {
		t.Errorf("rows %+v", rows)
	}
	c.asBefore()
}

// A node that is cordoned meanwhile ends the run, which keeps its measurements.
func TestDrained(t *testing.T) {
	c, client := newCluster(t, 1, 1)
	c.log = func(args string) (string, int) {
		c.nodes[0]["spec"] = object{"unschedulable": true}
		return measured(args)
	}
	found, err := Run(context.Background(), options(t, client))
	if err == nil || !strings.Contains(err.Error(), "cordoned") {
		t.Errorf("error %v", err)
	}
	if r := found[0].Result; len(r.Rows) != 1 || !r.Partial {
		t.Errorf("result %+v", r)
	}
	c.asBefore()
}

// The namespace of the load that is deleted ends the run.
func TestNamespaceDeleted(t *testing.T) {
	c, client := newCluster(t, 1, 1)
	c.log = measured
	c.before = func(c *cluster, r *http.Request) {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/jobs") {
			clear(c.namespaces)
		}
	}
	_, err := Run(context.Background(), options(t, client))
	if err == nil || !strings.Contains(err.Error(), "namespace peregrine-capacity of the load was deleted") {
		t.Errorf("error %v", err)
	}
	c.asBefore()
}

// A limit that the node does not have is capped, and said.
func TestLimitOfNode(t *testing.T) {
	c, client := newCluster(t, 1, 1)
	c.log = measured
	o := options(t, client)
	o.Limits = []capacity.Limit{{CPU: 8, Memory: 512 << 20}}
	found, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r := found[0].Result; r.Rows[0].Limit.CPU != 4 || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "8 CPU is more than node node-0 gives") {
		t.Errorf("rows %+v, notes %q", r.Rows, r.Notes)
	}
	o.Limits = []capacity.Limit{{CPU: 1, Memory: 64 << 30}}
	if _, err := Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), "64Gi") {
		t.Errorf("memory that the node does not have: %v", err)
	}
	c.asBefore()
}

// Restore undoes the changes of a killed run, and so does the next run.
func TestKilled(t *testing.T) {
	for _, next := range []string{"restore", "run"} {
		t.Run(next, func(t *testing.T) {
			c, client := newCluster(t, 2, 1)
			c.log = measured
			o := options(t, client)
			c.killed(o)
			o.Now = ticking()
			if next == "run" {
				if _, err := Run(context.Background(), o); err != nil {
					t.Fatal(err)
				}
			} else {
				did, err := Restore(context.Background(), o)
				if err != nil || len(did) != 2 {
					t.Errorf("did %q, %v", did, err)
				}
			}
			c.asBefore()
		})
	}
}

// killed leaves the objects that a run has made by the time of its load.
func (c *cluster) killed(o Options) {
	c.mu.Lock()
	defer c.mu.Unlock()
	set := convert[daemonSet](daemonSetObject())
	for name, p := range c.pods {
		if p["spec"].(object)["nodeName"] == "node-0" {
			delete(c.pods, name)
		}
	}
	body := convert[object](set.makeCopy(copied{run: "dead", node: "node-0", container: "falco", limit: o.Limits[0]}))
	body["spec"].(object)["nodeName"] = "node-0"
	c.add(body)
	c.namespaces["/"+o.Namespace] = object{"metadata": object{"name": o.Namespace, "labels": object{runLabel: "dead", sensorLabel: "security.falco"}}}
	c.held("h/1", time.Now())
}

// A run that is interrupted puts everything back.
func TestInterrupted(t *testing.T) {
	c, client := newCluster(t, 1, 1)
	ctx, cancel := context.WithCancel(context.Background())
	c.log = func(args string) (string, int) { cancel(); return measured(args) }
	if _, err := Run(ctx, options(t, client)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	c.asBefore()
}

// A run announces that it cuts off the sensor's own http_output, without
// possible secrets in its URL.
func TestHTTPOutput(t *testing.T) {
	for want, args := range map[string][]any{
		"in place of an http_output.url of its own":                 {"/usr/bin/falco"},
		"in place of its own http_output.url, at hooks.example.com": {"-o", "http_output.url=http://old", "-o", "http_output.url=https://a:b@hooks.example.com/s3cret"},
		"in place of its own http_output.url, at x:2801":            {"-ohttp_output.url=http://x:2801"},
	} {
		c, client := newCluster(t, 1, 1)
		c.template()["containers"].([]any)[0].(object)["args"] = args
		c.denied[right{sensorNamespace, "", "pods", "create"}] = true
		o := options(t, client)
		o.DaemonSet = "security/falco"
		var said strings.Builder
		o.Say = func(format string, args ...any) { fmt.Fprintf(&said, format+"\n", args...) }
		if _, err := Run(context.Background(), o); err == nil || !strings.Contains(said.String(), want) || strings.Contains(said.String(), "s3cret") {
			t.Errorf("%v: said %q, want %q", args, &said, want)
		}
	}
}

// A load whose preflight fails says why, and ends the run.
func TestPreflightOfLoad(t *testing.T) {
	c, client := newCluster(t, 1, 1)
	c.log = func(string) (string, int) { return "Error: preflight: no alert arrived\n", exitPreflight }
	_, err := Run(context.Background(), options(t, client))
	var refused *sweep.PreflightError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "no alert arrived") {
		t.Errorf("error %v", err)
	}
	c.asBefore()
}

// The role has only the rights that the run requests: no secrets, no exec, no
// proxy.
func TestManifest(t *testing.T) {
	text, err := json.Marshal(Scope{Sensor: "falco", Load: "peregrine-capacity", Find: true, Kinds: true}.Manifest())
	if err != nil {
		t.Fatal(err)
	}
	for _, never := range []string{"secrets", "exec", "proxy", "*", "impersonate"} {
		if slices.Contains(strings.FieldsFunc(string(text), func(r rune) bool { return strings.ContainsRune(`",/`, r) }), never) {
			t.Errorf("the role has %q", never)
		}
	}
	if n := len((Scope{Sensor: "a", Load: "a"}).Manifest()); n != 6 {
		t.Errorf("%d objects where sensor and load share a namespace", n)
	}
}

// A run that could not restore a pod, or whose pods would not be admitted, is
// refused before anything is changed.
func TestRefused(t *testing.T) {
	for why, change := range map[string]func(c *cluster, o *Options){
		"namespace peregrine-capacity admits pods of level baseline, and the load is privileged": func(c *cluster, o *Options) {
			c.namespaces["/"+o.Namespace] = object{"metadata": object{"name": o.Namespace, "labels": object{enforceLabel: "baseline"}}}
		},
		"no pod of DaemonSet security/falco is on node node-0": func(c *cluster, _ *Options) { c.nowhere = true },
		"is of an earlier template of DaemonSet security/falco": func(c *cluster, _ *Options) {
			c.set["metadata"].(object)["annotations"] = object{generation: "2"} // the pods have no such label
			c.set["status"] = object{"desiredNumberScheduled": 1, "updatedNumberScheduled": 0}
		},
	} {
		c, client := newCluster(t, 1, 1)
		o := options(t, client)
		change(c, &o)
		found, err := Run(context.Background(), o)
		var refused *sweep.PreflightError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), why) {
			t.Errorf("%+v, %v, want %q", found, err, why)
		}
		if n := c.calls["DELETE pods"] + c.calls["POST pods"] + c.calls["POST jobs"]; n > 0 {
			t.Errorf("%s: %d changes", why, n)
		}
	}
}

// A copy outlives the rows that are left, and no others.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, client := newCluster(t, 1, 1)
		var got []any
		c.log = func(args string) (string, int) {
			for _, p := range c.pods {
				if deadline, ok := p["spec"].(object)["activeDeadlineSeconds"]; ok {
					got = append(got, deadline)
				}
			}
			return measured(args)
		}
		o := options(t, client)
		o.Row, o.Ready = 190*time.Second, 2*time.Minute
		if _, err := Run(context.Background(), o); err != nil {
			t.Fatal(err)
		}
		if want := []any{860.0, 860.0, 490.0, 490.0}; !slices.Equal(got, want) { // the log of a Job is asked for twice
			t.Errorf("deadlines %v, want %v", got, want)
		}
	})
}
