package kubernetes

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/advise"
	"github.com/peregrine-sec/peregrine/internal/human"
)

// Advise derives the needs of each kind of node, from the capacity of one node
// and the load of all.
func (o *Observed) Advise(measured []Node) []Advice {
	result := map[string]Node{}
	for _, n := range measured {
		result[n.Kind] = n
	}
	var all []Advice
	for _, kind := range slices.Sorted(maps.Keys(o.Kinds)) {
		a := Advice{Kind: kind, Nodes: len(o.Kinds[kind]), Labelled: o.labelled[kind]}
		n := result[kind]
		switch {
		case n.Result == nil || len(n.Result.Findings.Curves) == 0:
			a.Why = "no node of this kind was measured"
			if n.Error != "" {
				a.Why = n.Error
			}
		default:
			if err := a.derive(n, o.Source, o.Kinds[kind]); err != nil {
				a.Why = err.Error()
			}
		}
		all = append(all, a)
	}
	return all
}

func (a *Advice) derive(n Node, source string, rates map[string]float64) error {
	byNode := map[string][]float64{}
	for name, rate := range rates {
		byNode[name] = []float64{rate}
	}
	seen, err := advise.Observe(source, byNode)
	if err != nil {
		return err
	}
	curve := n.Result.Findings.Curves[0]
	a.Recommendation, err = advise.Recommend(curve, n.Result.Rows, seen, map[string][]float64{a.Kind: slices.Collect(maps.Values(rates))})
	if err != nil {
		return err
	}
	takes, known := curve.RateFor(n.Today.CPU)
	for _, name := range slices.Sorted(maps.Keys(rates)) {
		if n.Today.CPU > 0 && known && rates[name] > takes {
			a.Dropped = append(a.Dropped, name)
		}
	}
	return nil
}

// WriteAdvice writes the recommendation for people.
func WriteAdvice(w io.Writer, all []Advice) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "Node kind\tNodes\tBusiest, events/s\tCPU request\tCPU limit\tMemory\tHeadroom\tFleet CPU\tFleet memory\tWould have dropped")
	var cpu float64
	var memory int64
	for _, a := range all {
		if a.Recommendation == nil {
			fmt.Fprintf(table, "%s\t%d\t%s\n", a.Kind, a.Nodes, strings.Join(strings.Fields(a.Why), " "))
			continue
		}
		sumCPU, sumMemory := a.RequestCPU*float64(a.Nodes), a.RequestMemory*int64(a.Nodes)
		cpu, memory = cpu+sumCPU, memory+sumMemory
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%s\t%.1f\t%s\t%s\t%s\n", a.Kind, a.Nodes, human.Number(a.Observed.Max), human.CPUs(a.RequestCPU), human.CPUs(a.LimitCPU),
			human.Quantity(a.LimitMemory), a.Headroom, human.CPUs(sumCPU), human.Size(uint64(sumMemory)), dropped(a.Dropped))
	}
	fmt.Fprintf(table, "all\t\t\t\t\t\t\t%s\t%s\t\n", human.CPUs(cpu), human.Size(uint64(memory)))
	return table.Flush()
}

// dropped names the first few nodes, and counts the rest.
func dropped(nodes []string) string {
	const few = 3
	if len(nodes) > few {
		return fmt.Sprintf("%s and %d more", strings.Join(nodes[:few], ", "), len(nodes)-few)
	}
	return strings.Join(nodes, ", ")
}

// today is the limit that a container has.
func today(r resources) capacity.Limit {
	cpu, _ := human.ParseCPUs(r.Limits["cpu"])
	memory, _ := human.ParseSize(r.Limits["memory"])
	return capacity.Limit{CPU: cpu, Memory: memory}
}
