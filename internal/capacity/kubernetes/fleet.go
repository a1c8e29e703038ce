package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/kubeapi"
)

// Node is the measurement of one node.
type Node struct {
	Name   string           `json:"node"`
	Kind   string           `json:"kind"`
	Today  capacity.Limit   `json:"today"`  // of the sensor, by the DaemonSet's template
	Sensor Target           `json:"sensor"` // that was measured
	Result *capacity.Result `json:"result,omitempty"`
	Error  string           `json:"error,omitempty"`
}

// Kind is a group of nodes that are alike.
type Kind struct {
	Name     string   `json:"kind"`
	Nodes    []string `json:"nodes"`
	labelled bool     // the name is their instanceType; else it is made of their size
	fit      []node   // the first ones on which something can be measured
}

// instanceType is the label by which clouds tell kinds of nodes apart.
const instanceType = "node.kubernetes.io/instance-type"

// kind is the instance type of a node, or its size if none is set.
func (n *node) kind() string {
	if name := n.Metadata.Labels[instanceType]; name != "" {
		return name
	}
	return fmt.Sprintf("%s, %s CPU, %.0f GiB", n.Status.NodeInfo.Architecture, human.CPUs(n.cpus()), float64(n.memory())/(1<<30))
}

// pageSize is the number of nodes of one request: one node is some 10 KB.
const pageSize = 250

// candidates are how many nodes of a kind are kept to choose from.
const candidates = 5

// Kinds lists the kinds of nodes, by name. It holds no more than one page of
// nodes, and all their names.
func Kinds(ctx context.Context, client *kubeapi.Client) ([]Kind, error) {
	found := map[string]*Kind{}
	for token := ""; ; {
		var page list[node]
		path := fmt.Sprintf("/api/v1/nodes?limit=%d&continue=%s", pageSize, url.QueryEscape(token))
		if err := client.Get(ctx, path, &page); err != nil {
			return nil, fmt.Errorf("list the nodes: %w", err)
		}
		for i := range page.Items {
			n := &page.Items[i]
			k := found[n.kind()]
			if k == nil {
				k = &Kind{Name: n.kind(), labelled: n.Metadata.Labels[instanceType] != ""}
				found[k.Name] = k
			}
			k.Nodes = append(k.Nodes, n.Metadata.Name)
			if len(k.fit) < candidates && n.unfit() == "" {
				k.fit = append(k.fit, *n)
			}
		}
		if token = page.Metadata.Continue; token == "" {
			break
		}
	}
	var kinds []Kind
	for _, name := range slices.Sorted(maps.Keys(found)) {
		kinds = append(kinds, *found[name])
	}
	return kinds, nil
}

// choose picks a node of each kind on which the sensor runs.
func (r *run) choose(ctx context.Context) ([]string, error) {
	kinds, err := Kinds(ctx, r.Client)
	if err != nil {
		return nil, err
	}
	var chosen []string
	for _, k := range kinds {
		name, err := r.chooseOf(ctx, k)
		if err != nil {
			return nil, err
		}
		if name == "" {
			r.Say("note: kind %s, %d nodes: the sensor runs on none of those that were looked at, and it is left out", k.Name, len(k.Nodes))
			continue
		}
		chosen = append(chosen, name)
	}
	if len(chosen) == 0 {
		return nil, refuse("the sensor runs on no node that takes pods")
	}
	return chosen, nil
}

func (r *run) chooseOf(ctx context.Context, k Kind) (string, error) {
	for i := range k.fit {
		s := site{run: r, node: k.fit[i]}
		if r.set.repels(&s.node) != "" {
			continue
		}
		found, err := s.pods(ctx)
		if err != nil {
			return "", err
		}
		if len(found) > 0 && found[0].ready() {
			return s.name(), nil
		}
	}
	return "", nil
}

// measureAll measures the nodes, a bounded number at a time. A failing node
// does not stop the others.
func (r *run) measureAll(ctx context.Context) ([]Node, error) {
	measured := make([]Node, len(r.Nodes))
	var mu sync.Mutex
	var errs []error
	var group errgroup.Group
	group.SetLimit(max(1, r.Parallel))
	for i, name := range r.Nodes {
		group.Go(func() error {
			n, err := r.measure(ctx, name)
			measured[i] = n
			if err != nil {
				measured[i].Error = err.Error()
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("node %s: %w", name, err))
			}
			if r.Keep != nil {
				r.Keep(measured[i])
			}
			return nil
		})
	}
	_ = group.Wait() // failures are in errs
	return measured, errors.Join(errs...)
}
