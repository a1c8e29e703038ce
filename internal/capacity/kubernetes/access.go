package kubernetes

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/kubeapi"
)

// right is a permission that a run needs.
type right struct {
	namespace string // "" for the whole cluster
	group     string
	resource  string // with a subresource: "pods/log"
	verb      string
}

func (r right) String() string {
	where := "in the whole cluster"
	if r.namespace != "" {
		where = "in namespace " + r.namespace
	}
	name := r.resource
	if r.group != "" {
		name += "." + r.group
	}
	return fmt.Sprintf("%s %s %s", r.verb, name, where)
}

// Scope names the objects of a run, and so the permissions it needs.
type Scope struct {
	Sensor    string // namespace of the DaemonSet
	Load      string // namespace of the Jobs
	Find      bool   // the DaemonSet is found by its label, not by its name
	Kinds     bool   // nodes are chosen by their kind
	Namespace bool   // the Jobs' namespace is made and deleted
	Publish   bool   // the report goes to a ConfigMap
}

// rights are all that a run does. The Jobs it starts have none.
func (s Scope) rights() []right {
	var all []right
	add := func(namespace, group, resource string, verbs ...string) {
		for _, verb := range verbs {
			all = append(all, right{namespace, group, resource, verb})
		}
	}
	add("", "", "nodes", "get")
	if s.Kinds {
		add("", "", "nodes", "list")
	}
	if s.Find {
		add("", "apps", "daemonsets", "list")
	}
	if s.Namespace {
		add("", "", "namespaces", "get", "create", "delete")
	} else {
		add(s.Load, "", "namespaces", "get")
	}
	add(s.Sensor, "apps", "daemonsets", "get")
	add(s.Sensor, "", "pods", "list", "create", "delete")
	add(s.Sensor, "", "pods/resize", "patch")
	add(s.Sensor, "", "events", "create")
	add(s.Sensor, "coordination.k8s.io", "leases", "get", "create", "update", "delete")
	add(s.Load, "batch", "jobs", "get", "list", "create", "delete", "deletecollection")
	add(s.Load, "", "pods", "list")
	add(s.Load, "", "pods/log", "get")
	add(s.Load, "", "events", "list")
	if s.Publish {
		add(s.Load, "", "configmaps", "get", "create", "update")
	}
	return all
}

// Check asks the API server for the run's permissions, and names all missing
// ones.
func (s Scope) Check(ctx context.Context, client *kubeapi.Client) error {
	var missing []string
	for _, r := range s.rights() {
		resource, sub, _ := strings.Cut(r.resource, "/")
		var answer struct {
			Status struct {
				Allowed bool `json:"allowed"`
			} `json:"status"`
		}
		err := client.Create(ctx, kubeapi.In("apis/authorization.k8s.io/v1", "", "selfsubjectaccessreviews"), object{
			"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
			"spec": object{"resourceAttributes": object{"namespace": r.namespace, "group": r.group, "resource": resource, "subresource": sub, "verb": r.verb}},
		}, &answer)
		if err != nil {
			return fmt.Errorf("ask what this user may do: %w", err)
		}
		if !answer.Status.Allowed {
			missing = append(missing, r.String())
		}
	}
	if len(missing) > 0 {
		return refuse("this user may not %s; nothing was changed (`peregrine capacity kubernetes rbac` prints the role that allows it)", strings.Join(missing, ", "))
	}
	return nil
}

// Account is the name of the role, and of the account that has it.
const Account = product

// Manifest is the smallest role that a run needs, as objects for kubectl apply:
// the Jobs' namespace, an account in it, roles and their bindings.
func (s Scope) Manifest() []any {
	s.Namespace = false // it is in the manifest
	objects := []any{
		object{"apiVersion": "v1", "kind": "Namespace", "metadata": object{"name": s.Load, "labels": object{enforceLabel: privilegedLevel}}},
		object{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": object{"name": Account, "namespace": s.Load}},
	}
	all := s.rights()
	for _, namespace := range slices.Compact([]string{"", s.Sensor, s.Load}) {
		kind, metadata := "ClusterRole", object{"name": Account}
		if namespace != "" {
			kind, metadata["namespace"] = "Role", namespace
		}
		objects = append(objects,
			object{"apiVersion": rbacAPI, "kind": kind, "metadata": metadata, "rules": rules(all, namespace)},
			object{"apiVersion": rbacAPI, "kind": kind + "Binding", "metadata": metadata,
				"roleRef":  object{"apiGroup": rbacGroup, "kind": kind, "name": Account},
				"subjects": []any{object{"kind": "ServiceAccount", "name": Account, "namespace": s.Load}}})
	}
	return objects
}

const (
	rbacGroup = "rbac.authorization.k8s.io"
	rbacAPI   = rbacGroup + "/v1"
	// enforceLabel is that of Pod Security Admission.
	enforceLabel    = "pod-security.kubernetes.io/enforce"
	privilegedLevel = "privileged"
)

// rules are the rights within a namespace as a role's: one for each resource.
func rules(all []right, namespace string) []any {
	verbs := map[right][]string{}
	var order []right
	for _, r := range all {
		if r.namespace != namespace {
			continue
		}
		verb := r.verb
		r.verb = ""
		if _, have := verbs[r]; !have {
			order = append(order, r)
		}
		if !slices.Contains(verbs[r], verb) {
			verbs[r] = append(verbs[r], verb)
		}
	}
	var out []any
	for _, r := range order {
		out = append(out, object{"apiGroups": []string{r.group}, "resources": []string{r.resource}, "verbs": verbs[r]})
	}
	return out
}
