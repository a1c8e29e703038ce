package action

// Object is a Kubernetes object that an action creates, without its metadata.
type Object struct {
	API      string // "api/v1" or "apis/GROUP/VERSION"
	Resource string // as in URIs: "pods"
	Kind     string
	Body     string // members of the JSON object besides apiVersion, kind and metadata; "" for none
	Action   string // its name
	Rule     string
}

// APIServer is where k8saudit actions work.
type APIServer interface {
	// Create creates the object under a name of this run.
	Create(Object) error
	// Names is the prefix of the names of all objects that this run creates for
	// an action.
	Names(action string) string
	// Delete deletes this run's objects of the object's kind. It does so as a
	// collection: rules look at the deletion of single objects.
	Delete(Object) error
}

// The APIs of the objects.
const (
	coreAPI = "api/v1"
	appsAPI = "apis/apps/v1"
	rbacAPI = "apis/rbac.authorization.k8s.io/v1"
)

// k8saudit are event-generator's actions on a Kubernetes cluster. Each creates
// one object and deletes it. Pods are never scheduled: the rules look at the
// request, and no node has to run them.
func k8saudit() []*Action {
	var actions []*Action
	for _, of := range []struct {
		name, rule, summary           string
		api, resource, kind, contents string
	}{
		{"ClusterRoleWithPodExecCreated", "ClusterRole With Pod Exec Created", "creates a role that may exec in pods", rbacAPI, "roles", "Role",
			`"rules":[{"apiGroups":[""],"resources":["pods/exec"],"verbs":["get"]}]`},
		{"ClusterRoleWithWildcardCreated", "ClusterRole With Wildcard Created", "creates a role that may read everything", rbacAPI, "roles", "Role",
			`"rules":[{"apiGroups":[""],"resources":["*"],"verbs":["get"]}]`},
		{"ClusterRoleWithWritePrivilegesCreated", "ClusterRole With Write Privileges Created", "creates a role that may create pods", rbacAPI, "roles", "Role",
			`"rules":[{"apiGroups":[""],"resources":["pods"],"verbs":["create"]}]`},
		{"CreateDisallowedPod", "Create Disallowed Pod", "creates a pod with an image that is not expected", coreAPI, "pods", "Pod", podSpec("peregrine.invalid/disallowed", ``, ``)},
		{"CreateHostNetworkPod", "Create HostNetwork Pod", "creates a pod that uses the node's network", coreAPI, "pods", "Pod", podSpec(podImage, ``, `,"hostNetwork":true`)},
		{"CreateModifyConfigmapWithPrivateCredentials", "Create/Modify Configmap With Private Credentials", "creates a config map with a password in it", coreAPI, "configmaps", "ConfigMap",
			`"data":{"ui.properties":"color=blue\npassword=not-a-real-one\n"}`},
		{"CreateNodePortService", "Create NodePort Service", "creates a service at a port of every node, with nothing behind it", coreAPI, "services", "Service",
			`"spec":{"type":"NodePort","ports":[{"port":80}]}`},
		{"CreatePrivilegedPod", "Create Privileged Pod", "creates a privileged pod", coreAPI, "pods", "Pod", podSpec(podImage, `,"securityContext":{"privileged":true}`, ``)},
		{"CreateSensitiveMountPod", "Create Sensitive Mount Pod", "creates a pod that mounts the node's /etc", coreAPI, "pods", "Pod",
			podSpec(podImage, ``, `,"volumes":[{"name":"etc","hostPath":{"path":"/etc"}}]`)},
		{"K8SConfigMapCreated", "K8s ConfigMap Created", "creates a config map", coreAPI, "configmaps", "ConfigMap", `"data":{"color":"blue"}`},
		{"K8SDeploymentCreated", "K8s Deployment Created", "creates a deployment without pods", appsAPI, "deployments", "Deployment",
			`"spec":{"replicas":0,"selector":{"matchLabels":{"peregrine":"none"}},"template":{"metadata":{"labels":{"peregrine":"none"}},` + podSpec(podImage, ``, ``) + `}}`},
		{"K8SServiceCreated", "K8s Service Created", "creates a service with nothing behind it", coreAPI, "services", "Service", `"spec":{"ports":[{"port":80}]}`},
		{"K8SServiceaccountCreated", "K8s Serviceaccount Created", "creates a service account without rights", coreAPI, "serviceaccounts", "ServiceAccount",
			`"automountServiceAccountToken":false`},
	} {
		object := Object{API: of.api, Resource: of.resource, Kind: of.kind, Body: of.contents, Action: "k8saudit." + of.name, Rule: of.rule}
		actions = append(actions, &Action{
			Name: "k8saudit." + of.name, Summary: of.summary, Rule: of.rule, RuleSet: K8sAudit,
			Needs: Needs{Place: Cluster}, Cost: Slow, Bench: BenchNo,
			BenchWhy: "k8saudit actions are not supposed to work here, since they need some time to create Kubernetes resources",
			prepare:  object.prepare,
		})
	}
	return actions
}

// podImage is never pulled, since the pods are never scheduled.
const podImage = "busybox"

// podSpec is the spec of a pod that no node takes.
func podSpec(image, container, pod string) string {
	return `"spec":{"nodeSelector":{"peregrine.dev/no-node":"has-this"},"automountServiceAccountToken":false,"containers":[{"name":"c","image":"` +
		image + `"` + container + `}]` + pod + `}`
}

func (o Object) prepare(p *prep) (func() error, error) {
	p.undo(func() error { return p.Kubernetes.Delete(o) })
	return func() error {
		if err := p.Kubernetes.Create(o); err != nil {
			return err
		}
		return p.Kubernetes.Delete(o)
	}, nil
}
