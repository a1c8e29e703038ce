package kubernetes

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/advise"
	"github.com/peregrine-sec/peregrine/internal/kubeapi"
)

// Observed is the load of the nodes in production: for each kind, the rate of
// each node that 99 of 100 five-minute rates of the last week do not exceed.
type Observed struct {
	Source  string
	Kinds   map[string]map[string]float64 // kind, node: events per second
	Unknown []string                      // series that are of no node

	labelled map[string]bool // kinds that are the value of a label
}

// Query is the p99 of each sensor's rate over a week, as Falco and we export it.
const Query = "quantile_over_time(0.99, rate(falcosecurity_scap_n_evts_total[5m])[1w:5m])"

// Observe asks Prometheus at address, and the API server which node is of which
// kind. An address with a path of its own, such as a query of the user's, is
// taken as it is.
func Observe(ctx context.Context, client *kubeapi.Client, address string) (*Observed, error) {
	target := address
	u, err := url.Parse(address)
	switch expected := "expected the URL of a Prometheus, such as http://prometheus:9090"; {
	case err != nil: // which may have a password in it
		return nil, fmt.Errorf("--observed: %s", expected)
	case u.Host == "":
		return nil, fmt.Errorf("--observed %q: %s", u.Redacted(), expected)
	}
	if !strings.Contains(u.Path, "/api/") {
		target = strings.TrimSuffix(address, "/") + "/api/v1/query?query=" + url.QueryEscape(Query)
	}
	source := u.Redacted() // reports have it
	rates, err := advise.Ask(ctx, target)
	if err != nil {
		return nil, fmt.Errorf("observed rates: %w", err)
	}
	kinds, err := Kinds(ctx, client)
	if err != nil {
		return nil, err
	}
	return sortRates(source, rates, kinds)
}

// sortRates puts each node's rate to its kind.
func sortRates(source string, rates advise.Rates, kinds []Kind) (*Observed, error) {
	kindOf := map[string]string{}
	o := &Observed{Source: source, Kinds: map[string]map[string]float64{}, labelled: map[string]bool{}}
	for _, k := range kinds {
		o.labelled[k.Name] = k.labelled
		for _, n := range k.Nodes {
			kindOf[n] = k.Name
		}
	}
	for name, of := range rates.Nodes {
		kind, ok := kindOf[name]
		if !ok {
			o.Unknown = append(o.Unknown, name)
			continue
		}
		if o.Kinds[kind] == nil {
			o.Kinds[kind] = map[string]float64{}
		}
		for _, rate := range of {
			o.Kinds[kind][name] = max(o.Kinds[kind][name], rate)
		}
	}
	if len(o.Kinds) == 0 {
		return nil, fmt.Errorf("observed rates: %s: none of %d series belongs to a node of the cluster: expected a label node with the node's name (attachMetadata or relabeling of the ServiceMonitor)", source, len(o.Unknown))
	}
	return o, nil
}

// Advice is the recommended limit of the sensor on nodes of one kind.
type Advice struct {
	Kind  string `json:"kind"`
	Nodes int    `json:"nodes"` // that were observed
	*capacity.Recommendation
	// Dropped are the nodes whose rate is above the capacity at today's limit.
	Dropped []string `json:"would_have_dropped,omitempty"`
	Why     string   `json:"why,omitempty"` // there is no recommendation
	// Labelled says that the nodes have the kind as a label, by which they can be selected.
	Labelled bool `json:"labelled"`
}
