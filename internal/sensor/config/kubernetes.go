package config

import "github.com/peregrine-sec/peregrine/internal/endpoint"

// Kubernetes says how the API server is asked.
type Kubernetes struct {
	Enabled     bool   `yaml:"enabled" doc:"Ask it, if api_server is given or the sensor runs in a pod with a service account."`
	APIServer   string `yaml:"api_server" doc:"Its URL: https://[USER:PASSWORD@]HOST[:PORT], or http:// to this host only. Empty: that of the pod's service account."`
	Credentials string `yaml:"credentials" doc:"TOKEN, the file of a bearer token, or CERTIFICATE:KEY or CERTIFICATE:KEY:CA, PEM files. The authorities of the server's certificate are those of the file ca.crt beside the token, if there is one, or the machine's. Empty: those of the pod's service account."`
	Node        string `yaml:"node" doc:"Name of this node in the cluster. Empty: FALCO_K8S_NODE_NAME, FALCO_HOSTNAME or the name of the host."`
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
