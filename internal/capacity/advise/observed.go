package advise

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
)

// Rates are syscalls per second.
type Rates struct {
	Nodes map[string][]float64 // every rate of each node
	// Classes are the highest rates of the nodes of each class; nil where the
	// source does not tell classes apart.
	Classes map[string][]float64
}

// Read reads a file; interval is the time of one sample of a stats file that
// does not tell it.
func Read(path string, interval time.Duration) (Rates, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Rates{}, fmt.Errorf("observed rates: %w", err)
	}
	var r Rates
	if bytes.Contains(text[:min(len(text), 512)], []byte(`"resultType"`)) {
		r, err = parseQuery(text)
	} else {
		r, err = parseStats(text, interval)
	}
	if err != nil {
		return Rates{}, fmt.Errorf("observed rates: %s: %w", path, err)
	}
	return r, nil
}

// parseStats takes every sample's rate; there is one node.
func parseStats(text []byte, interval time.Duration) (Rates, error) {
	samples, err := sensorstats.ReadAll(bytes.NewReader(text))
	if err != nil {
		return Rates{}, err
	}
	var rates []float64
	for i := range samples {
		if samples[i].Whole() {
			rates = append(rates, samples[i].Rate(interval))
		}
	}
	if len(rates) == 0 {
		return Rates{}, fmt.Errorf("no rates in %d samples: expected a stats file with at least two samples, or the JSON of a Prometheus query", len(samples))
	}
	return Rates{Nodes: map[string][]float64{"": rates}}, nil
}

// query is an answer of /api/v1/query or query_range
// (https://prometheus.io/docs/prometheus/latest/querying/api/).
type query struct {
	Status string `json:"status"`
	Error  string `json:"error"`
	Data   struct {
		ResultType string `json:"resultType"`
		Result     []struct {
			Metric map[string]string `json:"metric"`
			Values []point           `json:"values"` // matrix
			Value  *point            `json:"value"`  // vector
		} `json:"result"`
	} `json:"data"`
}

// point is [seconds, "value"].
type point struct{ at, value float64 }

func (p *point) UnmarshalJSON(text []byte) error {
	var pair [2]json.RawMessage
	if err := json.Unmarshal(text, &pair); err != nil {
		return err
	}
	if err := json.Unmarshal(pair[0], &p.at); err != nil {
		return err
	}
	var err error
	p.value, err = strconv.ParseFloat(strings.Trim(string(pair[1]), `"`), 64)
	return err
}

// The labels that name a node and its class, in the order of preference.
var (
	nodeLabels  = []string{"node", "kubernetes_node", "nodename", "hostname", "instance"}
	classLabels = []string{"class", "node_class", "instance_type", "node_kubernetes_io_instance_type", "beta_kubernetes_io_instance_type"}
)

func label(labels map[string]string, names []string) string {
	for _, name := range names {
		if labels[name] != "" {
			return labels[name]
		}
	}
	return ""
}

// parseQuery reads an answer of Prometheus. It takes rates as they are, and makes
// rates of counters, which are series whose name ends in _total.
func parseQuery(text []byte) (Rates, error) {
	var q query
	if err := human.ParseJSON(text, &q); err != nil {
		return Rates{}, err
	}
	if q.Status != "" && q.Status != "success" {
		return Rates{}, fmt.Errorf("the query has failed: %s", q.Error)
	}
	r := Rates{Nodes: map[string][]float64{}}
	class := map[string]string{}
	for _, series := range q.Data.Result {
		points := series.Values
		if series.Value != nil {
			points = append(points, *series.Value)
		}
		node := label(series.Metric, nodeLabels)
		class[node] = label(series.Metric, classLabels)
		if found := rates(points, strings.HasSuffix(series.Metric["__name__"], "_total")); len(found) > 0 {
			r.Nodes[node] = append(r.Nodes[node], found...)
		}
	}
	count := 0
	for node, of := range r.Nodes {
		count += len(of)
		if class[node] == "" {
			continue
		}
		if r.Classes == nil {
			r.Classes = map[string][]float64{}
		}
		highest := of[0]
		for _, x := range of {
			highest = max(highest, x)
		}
		r.Classes[class[node]] = append(r.Classes[class[node]], highest)
	}
	if count == 0 {
		return Rates{}, fmt.Errorf("no finite rates in %d series: expected the answer to a query such as rate(falcosecurity_scap_n_evts_total[5m])", len(q.Data.Result))
	}
	return r, nil
}

// rates leaves out values that are not finite: Prometheus divides zero by zero.
func rates(points []point, counter bool) []float64 {
	points = slices.DeleteFunc(slices.Clone(points), func(p point) bool { return !finite(p.value) })
	var out []float64
	for i, p := range points {
		switch {
		case !counter:
			out = append(out, p.value)
		case i > 0 && p.value >= points[i-1].value && p.at > points[i-1].at: // else: a restart
			out = append(out, (p.value-points[i-1].value)/(p.at-points[i-1].at))
		}
	}
	return slices.DeleteFunc(out, func(rate float64) bool { return !finite(rate) }) // of two times that are too near
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

const (
	// maxAnswer bounds an answer of Prometheus: a day of rates of a thousand
	// nodes.
	maxAnswer = 64 << 20
	// askTimeout is above Prometheus's default time limit of a query, two minutes.
	askTimeout = 3 * time.Minute
)

// Ask asks a Prometheus for rates: target is the URL of a query. Its password is
// in no error.
func Ask(ctx context.Context, target string) (Rates, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return Rates{}, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return Rates{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", resp.Status, text)
	}
	var rates Rates
	if err == nil {
		rates, err = parseQuery(text)
	}
	if err != nil {
		return Rates{}, fmt.Errorf("%s: %w", req.URL.Redacted(), err)
	}
	return rates, nil
}
