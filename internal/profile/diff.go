package profile

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
)

// Difference is one figure of two profiles.
type Difference struct {
	Name string  `json:"name"`
	A    float64 `json:"a"`
	B    float64 `json:"b"`
	// Change is B/A-1: 0.1 for ten per cent more. It is 0 where A is.
	Change float64 `json:"change"`
}

// Diff has the differences of two profiles.
type Diff struct {
	Totals   []Difference `json:"totals"`
	Syscalls []Difference `json:"syscalls"` // calls per second, the largest difference of rates first
	// Bursts are the highest 100 ms of each syscall, in the same order.
	Bursts []Difference `json:"bursts"`
}

// Compare sets b against a.
func Compare(a, b *Profile) Diff {
	var d Diff
	total := func(name string, x, y float64) { d.Totals = append(d.Totals, difference(name, x, y)) }
	total("syscalls/s", a.Rate, b.Rate)
	total("failed, share", a.Failed, b.Failed)
	total("in containers, share", a.Containers(), b.Containers())
	for _, s := range []struct {
		name string
		a, b Spread
	}{{"1 s", a.Bursts.Second, b.Bursts.Second}, {"100 ms", a.Bursts.Tenth, b.Bursts.Tenth}} {
		total(s.name+" p50", s.a.P50, s.b.P50)
		total(s.name+" p99", s.a.P99, s.b.P99)
		total(s.name+" max", s.a.Max, s.b.Max)
	}
	if a.Processes != nil && b.Processes != nil {
		total("forks/s", a.Processes.Forks, b.Processes.Forks)
		total("execs/s", a.Processes.Execs, b.Processes.Execs)
		total("threads/s", a.Processes.Threads, b.Processes.Threads)
	}
	d.arguments(a, b)
	of := map[string][2]Syscall{}
	for i, p := range []*Profile{a, b} {
		for _, s := range p.Syscalls {
			pair := of[s.Name]
			pair[i] = s
			of[s.Name] = pair
		}
	}
	for name, pair := range of {
		d.Syscalls = append(d.Syscalls, difference(name, pair[0].Rate(), pair[1].Rate()))
	}
	slices.SortFunc(d.Syscalls, func(x, y Difference) int {
		return cmp.Or(cmp.Compare(math.Abs(y.B-y.A), math.Abs(x.B-x.A)), cmp.Compare(x.Name, y.Name))
	})
	for _, s := range d.Syscalls {
		d.Bursts = append(d.Bursts, difference(s.Name, of[s.Name][0].Bursts.Tenth.Max, of[s.Name][1].Bursts.Tenth.Max))
	}
	return d
}

// arguments compares what both have sampled of them.
func (d *Diff) arguments(a, b *Profile) {
	total := func(name string, x, y float64) { d.Totals = append(d.Totals, difference(name, x, y)) }
	median := func(name string, x, y *Quantiles) {
		if x != nil && y != nil {
			total(name+" p50", x.P50, y.P50)
		}
	}
	if a.Processes != nil && b.Processes != nil {
		median("life (s)", a.Processes.Lifetime, b.Processes.Lifetime)
		median("arguments", a.Processes.Arguments, b.Processes.Arguments)
		median("their bytes", a.Processes.ArgumentBytes, b.Processes.ArgumentBytes)
	}
	if a.Paths != nil && b.Paths != nil {
		total("new paths, share", a.Paths.Distinct, b.Paths.Distinct)
		total("relative paths, share", a.Paths.Relative, b.Paths.Relative)
		median("their depth", a.Paths.Depth, b.Paths.Depth)
	}
	shares := map[string][2]float64{}
	for i, p := range []*Profile{a, b} {
		for _, s := range p.Sockets {
			name := strings.Join(strings.Fields(s.Call+" "+s.Family+" "+s.Protocol+" "+s.Locality), " ") + ", share"
			pair := shares[name]
			pair[i] = s.Share
			shares[name] = pair
		}
	}
	if len(a.Sockets) == 0 || len(b.Sockets) == 0 {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(shares)) {
		total(name, shares[name][0], shares[name][1])
	}
}

func difference(name string, a, b float64) Difference {
	d := Difference{Name: name, A: a, B: b}
	if a != 0 {
		d.Change = b/a - 1
	}
	return d
}
