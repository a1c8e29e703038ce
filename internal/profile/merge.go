package profile

import (
	"errors"
	"slices"
)

// Merge makes one profile of several: that of an average node. Rates and
// medians are means, weighted by the recorded time. P99 and Max are those of
// the busiest profile, since the others must not soften the peak of one node.
// The shape is theirs one after another.
func Merge(profiles []*Profile) (*Profile, error) {
	if len(profiles) == 0 {
		return nil, errors.New("merge: no profiles")
	}
	m := &Profile{Schema: Schema, Source: Source{Kind: FromMerge}}
	for _, p := range profiles {
		m.Seconds += p.Seconds
	}
	sockets := map[Socket]float64{}
	calls := map[string]*Syscall{}
	for _, p := range profiles {
		weight := p.Seconds / m.Seconds
		m.Rate += p.Rate * weight
		m.Failed += p.Failed * p.Rate * weight
		m.Bursts.merge(p.Bursts, weight)
		for _, s := range p.Syscalls {
			to := calls[s.Name]
			if to == nil {
				to = &Syscall{Name: s.Name}
				calls[s.Name] = to
			}
			to.Host.merge(s.Host, weight)
			to.Container.merge(s.Container, weight)
			to.Bursts.merge(s.Bursts, weight)
		}
		for _, s := range p.Sockets {
			share := s.Share
			s.Share = 0
			sockets[s] += share * weight
		}
		m.Source.merge(&p.Source)
		m.Processes = m.Processes.merge(p.Processes, weight)
		m.Paths = m.Paths.merge(p.Paths)
	}
	m.Rate, m.Failed = round(m.Rate), round(share(m.Failed, m.Rate))
	for _, s := range calls {
		s.Host.finish()
		s.Container.finish()
		m.Syscalls = append(m.Syscalls, *s)
	}
	sortSyscalls(m.Syscalls)
	m.Sockets = sortedSockets(sockets)
	m.Shape = chain(profiles)
	return m, nil
}

func (s *Source) merge(o *Source) {
	s.Nodes += o.Nodes
	s.Kernel, s.Arch = common(s.Kernel, o.Kernel), common(s.Arch, o.Arch)
	s.CPUs = max(s.CPUs, o.CPUs)
	if s.Started.IsZero() || !o.Started.IsZero() && o.Started.Before(s.Started) {
		s.Started = o.Started
	}
	for _, a := range o.Assumed {
		if !slices.Contains(s.Assumed, a) {
			s.Assumed = append(s.Assumed, a)
		}
	}
}

// common returns the common value of two profiles, "several" if they differ.
func common(a, b string) string {
	switch {
	case a == "" || a == b:
		return b
	case b == "":
		return a
	}
	return "several"
}

// merge adds a share; Failed holds a rate until finish.
func (c *Calls) merge(o Calls, weight float64) {
	c.Rate += o.Rate * weight
	c.Failed += o.Failed * o.Rate * weight
}

func (c *Calls) finish() { c.Rate, c.Failed = round(c.Rate), round(min(1, share(c.Failed, c.Rate))) }

func (b *Bursts) merge(o Bursts, weight float64) {
	b.Second.merge(o.Second, weight)
	b.Tenth.merge(o.Tenth, weight)
}

func (s *Spread) merge(o Spread, weight float64) {
	s.P50 = round(s.P50 + o.P50*weight)
	s.P99, s.Max = max(s.P99, o.P99), max(s.Max, o.Max)
	s.Correlation = round(s.Correlation + o.Correlation*weight)
}

func (p *Processes) merge(o *Processes, weight float64) *Processes {
	if o == nil {
		return p
	}
	if p == nil {
		p = &Processes{}
	}
	p.Forks = round(p.Forks + o.Forks*weight)
	p.Execs = round(p.Execs + o.Execs*weight)
	p.Threads = round(p.Threads + o.Threads*weight)
	p.Exits = round(p.Exits + o.Exits*weight)
	p.Lifetime = p.Lifetime.merge(o.Lifetime)
	p.Arguments = p.Arguments.merge(o.Arguments)
	p.ArgumentBytes = p.ArgumentBytes.merge(o.ArgumentBytes)
	return p
}

// merge takes the higher of each: samples of two nodes have no common order.
func (q *Quantiles) merge(o *Quantiles) *Quantiles {
	if q == nil || o == nil {
		if q == nil {
			return o
		}
		return q
	}
	return &Quantiles{P50: max(q.P50, o.P50), P99: max(q.P99, o.P99), Max: max(q.Max, o.Max)}
}

// merge weighs the shares by the number of samples. Names stay with each node.
func (p *Paths) merge(o *Paths) *Paths {
	if o == nil || o.Sampled == 0 {
		return p
	}
	if p == nil {
		merged := *o
		merged.Names = nil
		return &merged
	}
	a, b := float64(p.Sampled), float64(o.Sampled)
	return &Paths{Sampled: p.Sampled + o.Sampled, Distinct: round((p.Distinct*a + o.Distinct*b) / (a + b)),
		Relative: round((p.Relative*a + o.Relative*b) / (a + b)), Depth: p.Depth.merge(o.Depth)}
}

// chain puts shapes one after another, each with its share of the windows.
func chain(profiles []*Profile) Shape {
	all := 0
	for _, p := range profiles {
		all += p.Shape.Windows()
	}
	strands := map[strandKey]*Strand{}
	length := 0
	var shape Shape
	for _, p := range profiles {
		own := p.Shape.Windows()
		part := p.Shape.Sample(max(perSecond, own*maxWindows/max(all, maxWindows)))
		for _, s := range part.Strands {
			key := strandKey{s.Group, s.Syscall, s.Container}
			if strands[key] == nil {
				strands[key] = &Strand{Group: key.group, Syscall: key.syscall, Container: key.container}
			}
			strands[key].follow(s, length)
		}
		shape.followClumps(part.Clumps, length)
		length += part.Windows()
	}
	if length > mostWindows/Slots { // more than can be read
		shape.Clumps = nil
	}
	for _, s := range strands {
		s.pad(length)
		shape.Strands = append(shape.Strands, *s)
	}
	sortStrands(shape.Strands)
	return shape
}
