// Package kubeapi reaches the API server of a Kubernetes cluster: it finds it
// and authenticates as kubectl does, and speaks JSON with it. It uses no more
// of client-go than that: typed clients would double its share of the binary.
package kubeapi

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// requestTimeout bounds one request, if --request-timeout does not.
const requestTimeout = 30 * time.Second

// Flags say which cluster, by kubectl's flags.
type Flags struct {
	rules     *clientcmd.ClientConfigLoadingRules
	overrides clientcmd.ConfigOverrides
}

// Register adds the flags to those of a command. Several commands may have them.
func (f *Flags) Register(flags *pflag.FlagSet) {
	if f.rules == nil {
		f.rules = clientcmd.NewDefaultClientConfigLoadingRules()
	}
	flags.StringVar(&f.rules.ExplicitPath, "kubeconfig", "", "kubeconfig file (default $KUBECONFIG, ~/.kube/config, or the pod's account)")
	own := pflag.NewFlagSet("", pflag.ContinueOnError)
	names := clientcmd.RecommendedConfigOverrideFlags("")
	names.ContextOverrideFlags.Namespace.ShortName = "n"
	names.ClusterOverrideFlags.APIServer.ShortName = "s"
	clientcmd.BindOverrideFlags(&f.overrides, own, names)
	own.Lookup("context").Usage = "context of the kubeconfig"
	own.Lookup("namespace").Usage = "namespace to work in (default that of the context)"
	own.VisitAll(func(flag *pflag.Flag) {
		flag.Hidden = flag.Name != "namespace" && flag.Name != "context"
		flags.AddFlag(flag)
	})
}

// Given says whether a flag names a cluster.
func Given(flags *pflag.FlagSet) bool {
	return slices.ContainsFunc([]string{"kubeconfig", "context", "cluster", "server", "namespace"}, flags.Changed)
}

// Connect reads the configuration; it makes no request. agent is how the API
// server's log names the client.
func (f *Flags) Connect(agent string) (*Client, error) {
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(f.rules, &f.overrides)
	config, err := loader.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, errors.New("find the Kubernetes cluster: no kubeconfig names one: give --kubeconfig FILE, or set KUBECONFIG")
	}
	if err != nil {
		return nil, fmt.Errorf("find the Kubernetes cluster: %w", err)
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, fmt.Errorf("find the namespace: %w", err)
	}
	timeout := cmp.Or(config.Timeout, requestTimeout)
	config.Timeout = 0 // of a log that is followed, the time is not known
	config.UserAgent = agent
	server, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("address of the API server: %w", err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("client of the API server: %w", err)
	}
	return &Client{HTTP: client, Server: strings.TrimSuffix(server.String(), "/"), Namespace: namespace, Timeout: timeout}, nil
}
