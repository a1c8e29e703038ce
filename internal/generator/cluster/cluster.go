// Package cluster is where k8saudit actions work: it creates objects in a
// Kubernetes cluster and deletes them, and what killed runs left. It is the one
// package of the generator that needs client-go, of which it uses no more than
// what finds and authenticates to the API server: typed clients would double
// what it adds to the binary.
package cluster

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
)

// Labels of all that is created. runLabel has the run's id.
const (
	partOf   = "app.kubernetes.io/part-of"
	product  = "peregrine-generator"
	runLabel = "peregrine.dev/run"
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
	for _, name := range []string{"cache-dir", "match-server-version"} { // kubectl's, of no meaning here
		flags.String(name, "", "accepted for event-generator's sake, without effect")
		flags.Lookup(name).Hidden = true
	}
	flags.Lookup("match-server-version").NoOptDefVal = "true"
}

// Given says whether a flag names a cluster.
func Given(flags *pflag.FlagSet) bool {
	for _, name := range []string{"kubeconfig", "context", "cluster", "server", "namespace"} {
		if flags.Changed(name) {
			return true
		}
	}
	return false
}

// Cluster is one namespace of a cluster, with a run of actions in it.
type Cluster struct {
	client    *http.Client
	server    string
	namespace string
	run       string
	owner     string
	made      atomic.Uint64
	// Failed is told of every request that failed; nil for nobody. An action's
	// result has no more than a number for it.
	Failed func(error)
}

var _ action.APIServer = (*Cluster)(nil)

// Connect reads the configuration; it makes no request.
func (f *Flags) Connect() (*Cluster, error) {
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(f.rules, &f.overrides)
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("find the Kubernetes cluster: %w", err)
	}
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, fmt.Errorf("find the namespace: %w", err)
	}
	if config.Timeout == 0 {
		config.Timeout = requestTimeout
	}
	config.UserAgent = product
	server, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("address of the API server: %w", err)
	}
	client, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("client of the API server: %w", err)
	}
	id := make([]byte, 3)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return &Cluster{
		client: client, server: strings.TrimSuffix(server.String(), "/"), namespace: namespace,
		run: hex.EncodeToString(id), owner: fmt.Sprintf("%s/%d", host, os.Getpid()),
	}, nil
}

// Names implements action.APIServer.
func (c *Cluster) Names(action string) string {
	return "peregrine-" + c.run + "-" + shortName(action) + "-"
}

// shortName is an action's name as objects may have it. Names of services have
// 63 characters at most.
func shortName(action string) string {
	return strings.ToLower(action[strings.LastIndexByte(action, '.')+1:])
}

// Create implements action.APIServer.
func (c *Cluster) Create(o action.Object) error {
	metadata, err := json.Marshal(map[string]any{
		"name": fmt.Sprint(c.Names(o.Action), c.made.Add(1)),
		"labels": map[string]string{
			"app.kubernetes.io/name": shortName(o.Action), partOf: product, runLabel: c.run,
			"falco.org/rule": labelValue(o.Rule),
		},
		"annotations": map[string]string{"peregrine.dev/owner": c.owner},
	})
	if err != nil {
		return err
	}
	version := strings.TrimPrefix(strings.TrimPrefix(o.API, "apis/"), "api/")
	body := fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":%s,%s}`, version, o.Kind, metadata, o.Body)
	return c.told(c.do(http.MethodPost, c.path(o.API, o.Resource), "", body))
}

// Delete implements action.APIServer.
func (c *Cluster) Delete(o action.Object) error {
	return c.told(c.deleteAll(o.API, o.Resource, runLabel+"="+c.run))
}

func (c *Cluster) told(err error) error {
	if err != nil && c.Failed != nil {
		c.Failed(err)
	}
	return err
}

// kinds are those that actions create.
var kinds = []struct{ api, resource string }{
	{"api/v1", "pods"}, {"api/v1", "configmaps"}, {"api/v1", "services"}, {"api/v1", "serviceaccounts"},
	{"apis/apps/v1", "deployments"}, {"apis/rbac.authorization.k8s.io/v1", "roles"},
}

// Cleanup deletes what all runs left in the namespace. Those that are going on
// lose their objects too.
func (c *Cluster) Cleanup() error {
	var errs []error
	for _, k := range kinds {
		errs = append(errs, c.deleteAll(k.api, k.resource, partOf+"="+product))
	}
	return errors.Join(errs...)
}

func (c *Cluster) deleteAll(api, resource, selector string) error {
	return c.do(http.MethodDelete, c.path(api, resource), "labelSelector="+url.QueryEscape(selector),
		`{"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":0,"propagationPolicy":"Background"}`)
}

func (c *Cluster) path(api, resource string) string {
	return fmt.Sprintf("%s/%s/namespaces/%s/%s", c.server, api, url.PathEscape(c.namespace), resource)
}

// do makes a request; the error of one that is refused has the server's words.
func (c *Cluster) do(method, url, query, body string) error {
	if query != "" {
		url += "?" + query
	}
	req, err := http.NewRequestWithContext(context.Background(), method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.client.Do(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, url, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, url, err)
	}
	if resp.StatusCode < 300 {
		return nil
	}
	var status struct{ Message string }
	if json.Unmarshal(answer, &status) != nil || status.Message == "" {
		status.Message = strings.TrimSpace(string(answer))
	}
	return fmt.Errorf("%s %s: %s: %s", method, url, resp.Status, status.Message)
}

// labelValue makes a text one that labels may have: 63 letters, digits, - _ .
func labelValue(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 128 && (r == '.' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z') {
			return r
		}
		return '-'
	}, s)
	return strings.Trim(s[:min(len(s), 63)], "-_.")
}
