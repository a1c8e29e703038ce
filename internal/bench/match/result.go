package match

import "github.com/peregrine-sec/peregrine/internal/generator"

// Score counts the instances of one action, or of all, by their result.
// Started = OK + Failed + Skipped, and OK = Matched + Late + Lost.
type Score struct {
	Started int `json:"started"`
	OK      int `json:"ok"`
	Failed  int `json:"failed"`
	Skipped int `json:"skipped"`
	Matched int `json:"matched"`
	// Late alerts came after the drain's deadline: not lost, but not in time.
	Late int `json:"late"`
	Lost int `json:"lost"`
	// Duplicate counts alerts beyond the first for one instance.
	Duplicate int `json:"duplicate"`
	// Repeated counts those of them that are about the very same event, which
	// was sent twice. The others are about another one, whose own instance
	// counts as lost.
	Repeated int `json:"repeated,omitempty"`
}

// Scores sums up the instances per action, as they are now.
func (x *Index) Scores() []Score {
	counts := make([]Score, len(x.actions))
	for i := range x.instances {
		c := &counts[x.instances[i].Action]
		c.Started++
		switch x.state[i] {
		case skipped:
			c.Skipped++
		case failed:
			c.Failed++
		case matched:
			c.Matched++
		case late:
			c.Late++
		case free:
			c.Lost++
		}
	}
	for i := range counts {
		c := &counts[i]
		c.OK = c.Matched + c.Late + c.Lost
		c.Duplicate, c.Repeated = x.perAction[i].tally[Duplicate], x.perAction[i].repeated
	}
	return counts
}

// Latency is from event to receipt, Response from planned time to receipt, of
// one action's matches in time.
func (x *Index) Latency(action int) *Histogram  { return x.perAction[action].latency }
func (x *Index) Response(action int) *Histogram { return x.perAction[action].response }

// Part is the latency of one third of the round, 0 to 2.
func (x *Index) Part(third int) *Histogram { return x.parts[third] }

// Last is when the newest alert that matched in time was received; 0 if none.
func (x *Index) Last() int64 { return x.last }

// Fate is the result of one instance.
type Fate struct {
	generator.Instance
	State    string // matched, late, lost, failed, skipped
	Event    int64  // time of its alert's event in our clock; 0 without one
	Received int64
}

// Each calls f for every instance, in the order of start.
func (x *Index) Each(f func(Fate)) {
	words := [...]string{free: "lost", matched: "matched", late: "late", failed: "failed", skipped: "skipped"}
	for i, in := range x.instances {
		f(Fate{in, words[x.state[i]], x.event[i], x.received[i]})
	}
}

// Cost is the distribution of one action's durations, failed ones included,
// and their mean in ns.
func (x *Index) Cost(action int) (h *Histogram, mean float64) {
	h = NewHistogram()
	var sum float64
	n := 0
	for i := range x.instances {
		in := &x.instances[i]
		if int(in.Action) != action || in.Skipped {
			continue
		}
		d := in.End - in.Start
		h.Add(d)
		sum += float64(d)
		n++
	}
	if n == 0 {
		return h, 0
	}
	return h, sum / float64(n)
}
