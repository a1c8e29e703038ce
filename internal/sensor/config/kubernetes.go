package config

import "github.com/peregrine-sec/peregrine/internal/endpoint"

// Kubernetes says how the API server is asked.
type Kubernetes struct {
	Enabled     bool   `yaml:"enabled" doc:"Query it, if api_server is set or the sensor runs in a pod with a service account."`
	APIServer   string `yaml:"api_server" doc:"Its URL: https://[USER:PASSWORD@]HOST[:PORT], or http:// on this host only. Empty: from the pod's service account."`
	Credentials string `yaml:"credentials" doc:"TOKEN, the file of a bearer token, or CERTIFICATE:KEY or CERTIFICATE:KEY:CA, PEM files. Without CA, the server's certificate is verified with the file ca.crt in the token's directory, or else with the machine's authorities. Empty: from the pod's service account."`
	Node        string `yaml:"node" doc:"Name of this node in the cluster. Empty: FALCO_K8S_NODE_NAME, else FALCO_HOSTNAME, else the host name."`
}

func (c *Config) checkKubernetes(fail failFunc) {
	k := c.Peregrine.Kubernetes
	if !k.Enabled || k.APIServer == "" {
		return
	}
	if _, err := endpoint.ParseAPIServer(k.APIServer); err != nil {
		fail("peregrine.kubernetes.api_server", "%v", err)
	}
}
