// Package cluster creates and deletes objects in a Kubernetes cluster for k8saudit
// actions, and deletes those that killed runs left behind.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strings"
	"sync/atomic"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/kubeapi"
)

// Labels of all that is created. runLabel has the run's id.
const (
	partOf   = "app.kubernetes.io/part-of"
	product  = "peregrine-generator"
	runLabel = "peregrine.dev/run"
)

// Cluster is one namespace of a cluster, with a run of actions in it.
type Cluster struct {
	client *kubeapi.Client
	run    string
	owner  string
	made   atomic.Uint64
	// Failed, if not nil, is called for every failed request. An action's result
	// has only an error number for it.
	Failed func(error)
}

var _ action.APIServer = (*Cluster)(nil)

// New starts a run in the client's namespace; it makes no request.
func New(client *kubeapi.Client) *Cluster {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return &Cluster{client: client, run: fmt.Sprintf("%06x", rand.N(1<<24)), owner: fmt.Sprintf("%s/%d", host, os.Getpid())}
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
	return c.told(c.client.Create(context.Background(), c.path(o.API, o.Resource), json.RawMessage(body), nil))
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

// Cleanup deletes the objects of all runs in the namespace, those of live runs
// too.
func (c *Cluster) Cleanup() error {
	var errs []error
	for _, k := range kinds {
		errs = append(errs, c.deleteAll(k.api, k.resource, partOf+"="+product))
	}
	return errors.Join(errs...)
}

func (c *Cluster) deleteAll(api, resource, selector string) error {
	return c.client.Delete(context.Background(), c.path(api, resource)+"?labelSelector="+url.QueryEscape(selector),
		json.RawMessage(`{"apiVersion":"v1","kind":"DeleteOptions","gracePeriodSeconds":0,"propagationPolicy":"Background"}`))
}

func (c *Cluster) path(api, resource string) string {
	return kubeapi.In(api, c.client.Namespace, resource)
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
