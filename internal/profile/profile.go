// Package profile describes the workload of a node in figures: its syscalls, their
// rates and bursts, and the numbers of processes and connections. A profile
// contains no names of files, programs or hosts unless requested, so that it can
// be shared. Subpackages make and show profiles; the generator replays them.
package profile

import "time"

// Schema is the version of the JSON form; schema.json describes it.
const Schema = 1

// Window is the length of the shortest bursts that a profile tells apart.
const Window = 100 * time.Millisecond

// perSecond is how many windows a second has.
const perSecond = int(time.Second / Window)

// Profile is a workload. All rates are calls per second, those of 100 ms too.
type Profile struct {
	Schema  int     `json:"schema"`
	Source  Source  `json:"source"`
	Seconds float64 `json:"seconds"` // recorded, of all nodes together
	// Rate and Failed are of all syscalls: the mean, and the share that failed.
	Rate     float64   `json:"rate"`
	Failed   float64   `json:"failed"`
	Bursts   Bursts    `json:"bursts"`
	Syscalls []Syscall `json:"syscalls"` // the most frequent first
	Shape    Shape     `json:"shape"`

	Processes *Processes `json:"processes,omitempty"`
	Paths     *Paths     `json:"paths,omitempty"`
	Sockets   []Socket   `json:"sockets,omitempty"` // the most frequent first
}

// Source says where the figures are from.
type Source struct {
	Kind    string    `json:"kind"` // kernel, capture, metrics, prometheus or merge
	Started time.Time `json:"started,omitzero"`
	Nodes   int       `json:"nodes"`
	Kernel  string    `json:"kernel,omitempty"`
	Arch    string    `json:"arch,omitempty"`
	CPUs    int       `json:"cpus,omitempty"` // of the largest node
	// Assumed lists assumptions for facts that the source lacks, in sentences.
	Assumed []string `json:"assumed,omitempty"`
}

const (
	FromKernel     = "kernel"
	FromCapture    = "capture"
	FromMetrics    = "metrics"
	FromPrometheus = "prometheus"
	FromMerge      = "merge"
)

// Syscall is one syscall's part of the load.
type Syscall struct {
	Name      string `json:"name"`
	Host      Calls  `json:"host"`
	Container Calls  `json:"container"`
	Bursts    Bursts `json:"bursts"`
}

// Rate is calls per second on the host and in containers.
func (s *Syscall) Rate() float64 { return s.Host.Rate + s.Container.Rate }

// Failed is the share of the calls that returned an error.
func (s *Syscall) Failed() float64 {
	if s.Rate() == 0 {
		return 0
	}
	return (s.Host.Rate*s.Host.Failed + s.Container.Rate*s.Container.Failed) / s.Rate()
}

// Calls is a mean rate and the share of it that failed.
type Calls struct {
	Rate   float64 `json:"rate"`
	Failed float64 `json:"failed"`
}

// Bursts says how a rate varies from second to second and from one tenth of a
// second to the next.
type Bursts struct {
	Second Spread `json:"second"`
	Tenth  Spread `json:"tenth"`
}

// Spread is the distribution of a rate over windows of one length.
type Spread struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
	// Correlation is the autocorrelation with the window before, from -1 to 1:
	// near 1 for waves that are longer than the window, near 0 for noise.
	Correlation float64 `json:"correlation"`
}

// Processes is how processes come and go, per second.
type Processes struct {
	Forks   float64 `json:"forks"`
	Execs   float64 `json:"execs"`
	Threads float64 `json:"threads"`
	Exits   float64 `json:"exits"` // of processes, not of threads
	// Lifetime is in seconds, of processes that ended.
	Lifetime *Quantiles `json:"lifetime,omitempty"`
	// Arguments counts those of an exec; ArgumentBytes is their length.
	Arguments     *Quantiles `json:"arguments,omitempty"`
	ArgumentBytes *Quantiles `json:"argument_bytes,omitempty"`
}

// Paths describes the sampled path arguments.
type Paths struct {
	Sampled  uint64     `json:"sampled"`
	Distinct float64    `json:"distinct"` // share of the sampled ones that were new
	Relative float64    `json:"relative"` // share without a leading slash
	Depth    *Quantiles `json:"depth,omitempty"`
	// Names are the most frequent paths with their shares, if they were asked for.
	Names []Named `json:"names,omitempty"`
}

// Named is a path and its share of the sampled ones.
type Named struct {
	Path  string  `json:"path"`
	Share float64 `json:"share"`
}

// Socket is a kind of connection and its share of all that were sampled.
type Socket struct {
	Call     string  `json:"call"`     // socket, connect, accept or bind
	Family   string  `json:"family"`   // unix, ipv4, ipv6, netlink, ...
	Protocol string  `json:"protocol"` // stream, dgram, ... of socket; "" for the others
	Locality string  `json:"locality"` // loopback, private, public, local, any; "" of socket
	Share    float64 `json:"share"`
}

// Quantiles sum up samples.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Shape is the course of the load in windows and their slots: a recording as it
// was if it is short, otherwise whole seconds of it, chosen so that quiet and busy ones have
// their shares. Its strands have the same number of windows.
type Shape struct {
	Strands []Strand `json:"strands"`
	// Clumps says more exactly when the calls of the exact strands came; it may lack.
	Clumps []Clumps `json:"clumps,omitempty"`
}

// Clumps are the milliseconds with a call that sensors look at, on the host or in
// containers: programs make such calls in clumps, between which a sensor rests.
type Clumps struct {
	Container bool `json:"container"`
	// Milliseconds stand for the slots of Exact: ten times as many as those of a
	// strand. Their calls are not counted.
	Milliseconds *Exact `json:"milliseconds"`
}

// Strand is one of the most frequent syscalls, one that sensors look at, or the
// others of a group, on the host or in containers.
type Strand struct {
	Group     Group  `json:"group"`
	Syscall   string `json:"syscall,omitempty"` // "" for the others
	Container bool   `json:"container"`
	// Counts are calls per window. A file does not have those that follow from Exact.
	Counts []uint32 `json:"counts,omitempty"`
	// Slots has two characters for each window, which say in which of its slots
	// the calls came; "" stands for all.
	Slots string `json:"slots,omitempty"`
	// Exact, if not nil, has the calls of each slot instead.
	Exact *Exact `json:"exact,omitempty"`
}

// Windows is the length of the shape.
func (s *Shape) Windows() int {
	if len(s.Strands) == 0 {
		return 0
	}
	return len(s.Strands[0].Counts)
}

// Totals is calls per window over all strands.
func (s *Shape) Totals() []float64 {
	totals := make([]float64, s.Windows())
	for _, strand := range s.Strands {
		for i, n := range strand.Counts {
			totals[i] += float64(n)
		}
	}
	return totals
}

// Containers is the share of calls made in containers.
func (p *Profile) Containers() float64 {
	if p.Rate == 0 {
		return 0
	}
	var rate float64
	for _, s := range p.Syscalls {
		rate += s.Container.Rate
	}
	return rate / p.Rate
}
