package action

// k8saudit are event-generator's actions on a Kubernetes cluster. They are
// known by name, so that selections that work there work here; running them
// needs a cluster with its audit log, and skips with that reason.
func k8saudit() []*Action {
	var actions []*Action
	for _, of := range []struct{ name, rule string }{
		{"ClusterRoleWithPodExecCreated", "ClusterRole With Pod Exec Created"},
		{"ClusterRoleWithWildcardCreated", "ClusterRole With Wildcard Created"},
		{"ClusterRoleWithWritePrivilegesCreated", "ClusterRole With Write Privileges Created"},
		{"CreateDisallowedPod", "Create Disallowed Pod"},
		{"CreateHostNetworkPod", "Create HostNetwork Pod"},
		{"CreateModifyConfigmapWithPrivateCredentials", "Create/Modify Configmap With Private Credentials"},
		{"CreateNodePortService", "Create NodePort Service"},
		{"CreatePrivilegedPod", "Create Privileged Pod"},
		{"CreateSensitiveMountPod", "Create Sensitive Mount Pod"},
		{"K8SConfigMapCreated", "K8s ConfigMap Created"},
		{"K8SDeploymentCreated", "K8s Deployment Created"},
		{"K8SServiceCreated", "K8s Service Created"},
		{"K8SServiceaccountCreated", "K8s Serviceaccount Created"},
	} {
		actions = append(actions, &Action{
			Name: "k8saudit." + of.name, Summary: "needs a Kubernetes cluster", Rule: of.rule, RuleSet: K8sAudit,
			Needs: Needs{Place: Cluster}, Cost: Slow, Bench: BenchNo, BenchWhy: "an API server's audit log is no measure of a sensor",
		})
	}
	return actions
}
