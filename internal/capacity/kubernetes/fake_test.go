package kubernetes

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/kubeapi"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// cluster is an API server, with as much of the controllers and the kubelet as
// a run meets. Each list of pods is a step of its time: ending pods have ended
// then.
type cluster struct {
	t  *testing.T
	mu sync.Mutex

	set        object // the DaemonSet
	nodes      []object
	pods       map[string]object // by namespace/name
	leases     map[string]object
	namespaces map[string]object
	jobs       map[string]object
	calls      map[string]int
	used       map[right]bool // requested rights, in the form of a role
	made       int
	bytes      int // of the largest answer

	resizes bool // pods/resize is there
	denied  map[right]bool
	ready   func(pod object) bool             // whether a pod of the sensor becomes ready; nil: it does
	log     func(args string) (string, int)   // of a load, with its exit code
	before  func(c *cluster, r *http.Request) // each request; it may change the cluster
	reach   func(r *http.Request) error       // whether a request reaches the server
	nowhere bool                              // the DaemonSet has no pods
	late    int                               // this many lists of the pods of Jobs are empty
	busy    int                               // this many lists after its creation a copy gets its node
	fresh   string                            // the name of the last copy
	hides   int                               // lists until it gets its node
}

func (c *cluster) pass(r *http.Request) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reach == nil {
		return nil
	}
	return c.reach(r)
}

// RoundTrip is the way of a request to the cluster, and back.
func (c *cluster) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if err := c.pass(r); err != nil {
		return nil, err
	}
	answer := httptest.NewRecorder()
	c.serve(answer, r)
	return answer.Result(), nil
}

// goesOn is the exit code of a load that does not end.
const goesOn = -1

const sensorNamespace = "security"

// newCluster makes a cluster with nodes of several kinds, each with a pod of
// DaemonSet falco.
func newCluster(t *testing.T, nodes, kinds int) (*cluster, *kubeapi.Client) {
	c := &cluster{t: t, set: daemonSetObject(), pods: map[string]object{}, leases: map[string]object{}, namespaces: map[string]object{}, jobs: map[string]object{},
		calls: map[string]int{}, used: map[right]bool{}, denied: map[right]bool{}}
	for i := range nodes {
		name := fmt.Sprintf("node-%d", i)
		c.nodes = append(c.nodes, object{
			"metadata": object{"name": name, "labels": object{"node.kubernetes.io/instance-type": fmt.Sprintf("kind-%02d", i%kinds)}},
			"status": object{
				"allocatable": object{"cpu": "4", "memory": "8Gi"},
				"conditions":  []any{object{"type": "Ready", "status": "True"}},
				"addresses":   []any{object{"type": "InternalIP", "address": "10.0.0.1"}},
				"nodeInfo":    object{"architecture": "amd64"},
				"images":      strings.Repeat("x", 4000), // other data of real ones
			},
		})
	}
	return c, &kubeapi.Client{HTTP: &http.Client{Transport: c}, Server: "http://cluster", Timeout: needs.Patience, Patient: true}
}

func daemonSetObject() object {
	return object{
		"metadata": object{"name": "falco", "namespace": sensorNamespace, "uid": "ds-uid", "labels": object{nameLabel: "falco"}},
		"spec": object{
			"selector": object{"matchLabels": object{"app": "falco"}},
			"template": object{
				"metadata": object{"labels": object{"app": "falco"}},
				"spec": object{"containers": []any{object{
					"name": "falco", "image": "docker.io/falcosecurity/falco:0.44.1", "args": []any{"/usr/bin/falco"},
					"ports":     []any{object{"name": "web", "containerPort": 8765}},
					"resources": object{"requests": object{"cpu": "100m", "memory": "512Mi"}, "limits": object{"cpu": "1000m", "memory": "1024Mi"}},
				}}},
			},
		},
	}
}

// template is the specification of the DaemonSet's pods.
func (c *cluster) template() object {
	return c.set["spec"].(object)["template"].(object)["spec"].(object)
}

// own makes the pod of the template on a node.
func (c *cluster) own(node string) {
	p := convert[object](c.set["spec"].(object)["template"])
	metadata := p["metadata"].(object)
	metadata["ownerReferences"] = []any{object{"uid": "ds-uid", "controller": true}}
	metadata["labels"].(object)["controller-revision-hash"] = "h1"
	p["spec"].(object)["nodeName"] = node
	metadata["namespace"], metadata["name"] = sensorNamespace, fmt.Sprintf("falco-%d", c.made)
	c.add(p)
}

func (c *cluster) add(p object) object {
	c.made++
	metadata := p["metadata"].(object)
	if metadata["name"] == nil {
		metadata["name"] = fmt.Sprint(metadata["generateName"], c.made)
	}
	metadata["uid"] = fmt.Sprintf("uid-%d", c.made)
	var statuses []any
	ready := c.ready == nil || c.ready(p)
	for _, each := range p["spec"].(object)["containers"].([]any) {
		one := object{"name": each.(object)["name"], "containerID": "containerd://" + strings.Repeat("a", 64)}
		if !ready {
			one["state"] = object{"waiting": object{"reason": "CrashLoopBackOff", "message": "back-off"}}
		}
		statuses = append(statuses, one)
	}
	status := object{"phase": "Running", "podIP": "10.1.0.1", "containerStatuses": statuses}
	status["conditions"] = []any{object{"type": "Ready", "status": map[bool]string{true: "True", false: "False"}[ready]}}
	p["status"] = status
	c.pods[fmt.Sprintf("%s/%s", metadata["namespace"], metadata["name"])] = p
	return p
}

// step ends the deleted pods of a node, and lets the controller fill the gap.
// Other nodes do not change.
func (c *cluster) step(node any) {
	has := false
	for name, p := range c.pods {
		if p["spec"].(object)["nodeName"] != node {
			continue
		}
		if p["metadata"].(object)["deletionTimestamp"] != nil {
			delete(c.pods, name)
			continue
		}
		has = true
	}
	if !has && !c.nowhere {
		c.own(node.(string))
	}
}

func (c *cluster) serve(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.before != nil {
		c.before(c, r)
	}
	body := object{}
	_ = json.NewDecoder(r.Body).Decode(&body)
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	parts = parts[map[string]int{"api": 2, "apis": 3}[parts[0]]:]
	namespace := ""
	if parts[0] == "namespaces" && len(parts) > 2 {
		namespace, parts = parts[1], parts[2:]
	}
	resource, name := parts[0], ""
	if len(parts) > 1 {
		name = parts[1]
	}
	if len(parts) > 2 {
		resource += "/" + parts[2]
	}
	c.calls[r.Method+" "+resource]++
	c.use(r, resource, namespace, name)
	code, answer := c.answer(r, resource, namespace, name, body)
	if text, ok := answer.(string); ok {
		_, _ = io.WriteString(w, text)
		return
	}
	text, err := json.Marshal(answer)
	if err != nil {
		c.t.Error(err)
	}
	c.bytes = max(c.bytes, len(text))
	w.WriteHeader(code)
	_, _ = w.Write(text)
}

// use notes the right that a request needs.
func (c *cluster) use(r *http.Request, resource, namespace, name string) {
	verb := map[string]string{"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get"}[r.Method]
	switch {
	case name == "" && r.Method == http.MethodGet:
		verb = "list"
	case name == "" && r.Method == http.MethodDelete:
		verb = "deletecollection"
	}
	group := strings.Split(strings.TrimPrefix(r.URL.Path, "/apis/"), "/")[0]
	if strings.HasPrefix(r.URL.Path, "/api/") {
		group = ""
	}
	if resource != "selfsubjectaccessreviews" {
		c.used[right{namespace, group, resource, verb}] = true
	}
}

func (c *cluster) answer(r *http.Request, resource, namespace, name string, body object) (int, any) {
	switch resource {
	case "selfsubjectaccessreviews":
		a := convert[struct{ Namespace, Group, Resource, Subresource, Verb string }](body["spec"].(object)["resourceAttributes"])
		asked := right{a.Namespace, a.Group, strings.TrimSuffix(a.Resource+"/"+a.Subresource, "/"), a.Verb}
		return 201, object{"status": object{"allowed": !c.denied[asked]}}
	case "daemonsets":
		metadata := c.set["metadata"].(object)
		if name == "" {
			return 200, object{"items": []any{c.set}}
		}
		if name != metadata["name"] || namespace != metadata["namespace"] {
			return 404, object{"message": "no such DaemonSet"}
		}
		return 200, c.set
	case "nodes":
		return c.answerNodes(r, name)
	case "pods":
		return c.answerPods(r, namespace, name, body)
	case "pods/resize":
		if !c.resizes {
			return 404, object{"message": "the server could not find the requested resource"}
		}
		p := c.pods[namespace+"/"+name]
		patched := body["spec"].(object)["containers"].([]any)[0].(object)["resources"]
		p["status"].(object)["containerStatuses"].([]any)[0].(object)["resources"] = patched
		return 200, p
	case "pods/log":
		args := fmt.Sprint(c.pods[namespace+"/"+name]["args"])
		text, _ := c.log(args)
		return 200, text
	case "jobs":
		return c.answerJobs(r, namespace, name, body)
	case "events":
		return 200, object{"items": []any{}}
	case "leases":
		if code, answer := c.precondition(r, c.leases[namespace+"/"+name], body); code != 0 {
			return code, answer
		}
		return c.answerStore(r, c.leases, namespace, name, body)
	case "configmaps":
		if code, answer := c.precondition(r, c.namespaces[namespace+"/"+name], body); code != 0 {
			return code, answer
		}
		return c.answerStore(r, c.namespaces, namespace, name, body)
	case "namespaces":
		return c.answerStore(r, c.namespaces, "", name, body)
	}
	c.t.Errorf("%s %s is not known here", r.Method, r.URL)
	return 404, object{}
}

func (c *cluster) answerNodes(r *http.Request, name string) (int, any) {
	if name != "" {
		for _, n := range c.nodes {
			if n["metadata"].(object)["name"] == name {
				return 200, n
			}
		}
		return 404, object{"message": "no such node"}
	}
	limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
	from, _ := strconv.Atoi(r.URL.Query().Get("continue"))
	to := len(c.nodes)
	if limit > 0 {
		to = min(to, from+limit)
	}
	metadata := object{}
	if to < len(c.nodes) {
		metadata["continue"] = strconv.Itoa(to)
	}
	return 200, object{"metadata": metadata, "items": c.nodes[from:to]}
}

func (c *cluster) answerPods(r *http.Request, namespace, name string, body object) (int, any) {
	switch r.Method {
	case http.MethodPost:
		if r.URL.Query().Get("dryRun") != "" {
			return 201, body
		}
		body["metadata"].(object)["namespace"] = namespace
		terms := body["spec"].(object)["affinity"].(object)["nodeAffinity"].(object)["requiredDuringSchedulingIgnoredDuringExecution"].(object)["nodeSelectorTerms"].([]any)
		body["spec"].(object)["nodeName"] = terms[0].(object)["matchFields"].([]any)[0].(object)["values"].([]any)[0]
		p := c.add(body)
		c.fresh, c.hides = fmt.Sprint(p["metadata"].(object)["name"]), c.busy
		return 201, p
	case http.MethodDelete:
		p, ok := c.pods[namespace+"/"+name]
		if !ok {
			return 404, object{"message": "no such pod"}
		}
		p["metadata"].(object)["deletionTimestamp"] = "2026-01-01T00:00:00Z"
		return 200, p
	}
	field, wanted, _ := strings.Cut(r.URL.Query().Get("fieldSelector"), "=")
	if field == "spec.nodeName" {
		c.step(wanted)
	}
	var found []any
	if namespace != sensorNamespace && c.late > 0 {
		c.late--
		return 200, object{"items": found}
	}
	for _, p := range c.pods {
		metadata := p["metadata"].(object)
		labels, _ := metadata["labels"].(object)
		if metadata["namespace"] == namespace && selects(r, labels) && c.hasField(p, field, wanted) {
			found = append(found, p)
		}
	}
	if field == "spec.nodeName" && c.hides > 0 {
		c.hides--
	}
	return 200, object{"items": found}
}

// hasField says whether a fieldSelector selects a pod.
func (c *cluster) hasField(p object, field, wanted string) bool {
	name := p["metadata"].(object)["name"]
	switch field {
	case "metadata.name":
		return name == wanted
	case "spec.nodeName":
		return p["spec"].(object)["nodeName"] == wanted && (name != c.fresh || c.hides == 0)
	}
	return true
}

func (c *cluster) answerJobs(r *http.Request, namespace, name string, body object) (int, any) {
	switch {
	case r.Method == http.MethodDelete && name == "":
		for key := range c.selectJobs(r, namespace) {
			c.deleteJob(key)
		}
		return 200, object{}
	case r.Method == http.MethodDelete:
		c.deleteJob(namespace + "/" + name)
		return 200, object{}
	case r.Method == http.MethodGet && name == "":
		return 200, object{"items": slices.Collect(maps.Values(c.selectJobs(r, namespace)))}
	case r.Method == http.MethodGet:
		return 200, object{}
	}
	if c.namespaces["/"+namespace] == nil {
		return 404, object{"message": fmt.Sprintf("namespaces %q not found", namespace)}
	}
	c.made++
	metadata := body["metadata"].(object)
	metadata["name"], metadata["uid"] = fmt.Sprintf("load-%d", c.made), fmt.Sprintf("job-%d", c.made)
	spec := body["spec"].(object)["template"].(object)["spec"].(object)
	args := fmt.Sprint(spec["containers"].([]any)[0].(object)["args"])
	_, code := c.log(args)
	phase, state := "Succeeded", object{"terminated": object{"reason": "Completed", "exitCode": code}}
	if code == goesOn {
		phase, state = "Running", object{"running": object{}}
	}
	c.pods[fmt.Sprintf("%s/%s", namespace, metadata["name"])] = object{
		"metadata": object{"namespace": namespace, "name": metadata["name"], "labels": metadata["labels"],
			"ownerReferences": []any{object{"uid": metadata["uid"], "controller": true}}},
		"spec": object{}, "args": args,
		"status": object{"phase": phase, "containerStatuses": []any{object{"name": loadContainer, "state": state}}},
	}
	c.jobs[fmt.Sprintf("%s/%s", namespace, metadata["name"])] = body
	return 201, body
}

// deleteJob deletes a Job, and its pod.
func (c *cluster) deleteJob(key string) {
	delete(c.jobs, key)
	delete(c.pods, key)
}

// selectJobs are those of a namespace that a request's labelSelector selects.
func (c *cluster) selectJobs(r *http.Request, namespace string) map[string]object {
	found := map[string]object{}
	for key, job := range c.jobs {
		labels, _ := job["metadata"].(object)["labels"].(object)
		if strings.HasPrefix(key, namespace+"/") && selects(r, labels) {
			found[key] = job
		}
	}
	return found
}

// selects says whether the labelSelector of a request selects an object.
func selects(r *http.Request, labels object) bool {
	for part := range strings.SplitSeq(r.URL.Query().Get("labelSelector"), ",") {
		label, value, equal := strings.Cut(part, "=")
		has, there := labels[label]
		if !there || equal && has != value {
			return false
		}
	}
	return true
}

// precondition answers a change of an object that is not the one that was meant.
func (c *cluster) precondition(r *http.Request, now, body object) (int, any) {
	var meant object
	switch r.Method {
	case http.MethodPut:
		meant, _ = body["metadata"].(object)
	case http.MethodDelete:
		meant, _ = body["preconditions"].(object)
	}
	if now != nil {
		for _, field := range []string{"uid", "resourceVersion"} {
			if is := now["metadata"].(object)[field]; meant[field] != nil && is != meant[field] {
				return 409, object{"message": fmt.Sprintf("the %s is %v", field, is)}
			}
		}
	}
	return 0, nil
}

// answerStore keeps objects as they are given, with a version of each change.
func (c *cluster) answerStore(r *http.Request, store map[string]object, namespace, name string, body object) (int, any) {
	key := namespace + "/" + name
	switch {
	case r.Method == http.MethodPost:
		key += fmt.Sprint(body["metadata"].(object)["name"])
		if store[key] != nil {
			return 409, object{"message": "it exists"}
		}
		c.version(body)
		body["metadata"].(object)["uid"] = fmt.Sprintf("uid-%d", c.made)
		store[key] = body
		return 201, body
	case store[key] == nil:
		return 404, object{"message": "there is none"}
	case r.Method == http.MethodPut:
		c.version(body)
		store[key] = body
	case r.Method == http.MethodDelete:
		defer delete(store, key)
		for job := range c.jobs {
			if strings.HasPrefix(job, name+"/") { // in a namespace that is deleted
				c.deleteJob(job)
			}
		}
	}
	return 200, store[key]
}

// version gives an object that is changed its resourceVersion.
func (c *cluster) version(o object) {
	c.made++
	o["metadata"].(object)["resourceVersion"] = strconv.Itoa(c.made)
}
