// Package metrics has the sensor's metrics about itself: a Snapshot of all
// counters, its rendering under Falco's names, the reaction to lost events, and
// the loop that publishes snapshots. It is not on the path of an event: the
// engine and the outputs fill a Snapshot when asked, and nothing here is called
// per event. Its children serve snapshots: web by HTTP (health, versions,
// Prometheus), live by a private socket (status, top).
package metrics

import (
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// Snapshot is the sensor at one moment. All counters count since the start.
// The sensor fills it; the reader owns it.
type Snapshot struct {
	Time          int64      `json:"time"`        // ns since the epoch
	Start         int64      `json:"start_time"`  // ns since the epoch
	Elapsed       Duration   `json:"elapsed"`     // since the start, by a monotonic clock
	Reload        int64      `json:"reload_time"` // ns since the epoch; Start before the first reload
	Version       string     `json:"version"`
	EngineVersion string     `json:"engine_version"` // of the rule language
	Source        string     `json:"source"`         // "syscall"
	EngineName    string     `json:"engine_name"`    // "modern_bpf", "savefile" or "nodriver", as in Falco
	Host          Host       `json:"host"`
	RulesFiles    []FileSum  `json:"rules_files"`
	ConfigFiles   []FileSum  `json:"config_files"`
	Events        uint64     `json:"events"` // that user space has processed
	Probe         Probe      `json:"probe"`
	Audit         *Audit     `json:"k8s_audit,omitempty"` // nil without that source
	Rings         []Ring     `json:"rings"`
	State         State      `json:"state"`
	Rules         []Rule     `json:"rules"`
	Kinds         []Kind     `json:"kinds"`     // event types, any order
	Processes     []Process  `json:"processes"` // those with most events, any order
	Alerts        uint64     `json:"alerts"`    // that left the engine, before the throttle
	Throttled     uint64     `json:"throttled"` // alerts that outputs.rate held back
	Internal      uint64     `json:"internal"`  // messages about itself that the sensor sent as alerts
	Metadata      Metadata   `json:"metadata"`
	Recordings    Recordings `json:"recordings"`
	Channels      []Channel  `json:"channels"`
	Resources     Resources  `json:"resources"`
	Programs      []Program  `json:"programs,omitempty"` // with kernel.bpf_stats_enabled
	Costs         *Costs     `json:"costs,omitempty"`    // measured for sensor status --programs
	Reloads       uint64     `json:"reloads"`
	ReloadErrors  uint64     `json:"reload_errors"`
	LastReloadErr string     `json:"last_reload_error,omitempty"`
	StatsErrors   uint64     `json:"stats_file_errors"`   // samples that -s could not write
	MetricsErrors uint64     `json:"metrics_file_errors"` // snapshots that metrics.output_file could not take
}

// Metadata counts the metadata received from container runtimes.
type Metadata struct {
	Known     int       `json:"known"`     // containers with metadata
	Imageless int       `json:"imageless"` // of these, those without an image
	Waited    uint64    `json:"waited"`    // events that waited for their container's metadata
	Cut       uint64    `json:"cut"`       // events that were decided without it, because it took too long or too many waited
	Runtimes  []Runtime `json:"runtimes"`
}

// Recordings counts the recordings around alerts.
type Recordings struct {
	Files   uint64 `json:"files"`   // begun
	Events  uint64 `json:"events"`  // in files
	Missed  uint64 `json:"missed"`  // events for which the buffer or the file had no room
	Limited uint64 `json:"limited"` // files that ended because of their size
	Errors  uint64 `json:"errors"`  // recordings that were not written, or not to their end
}

// Runtime is a container runtime's socket, or the Kubernetes API server.
type Runtime struct {
	Engine    string `json:"engine"` // docker, podman, cri, containerd or kubernetes
	Socket    string `json:"socket"` // the URL of the API server
	Present   bool   `json:"present"`
	Connected bool   `json:"connected"`
	Connects  uint64 `json:"connects"`
	Told      uint64 `json:"told"` // containers, or pods, that it has reported
	Error     string `json:"error,omitempty"`
}

// Duration is in ns.
type Duration = time.Duration

// Host describes the machine.
type Host struct {
	Name          string      `json:"name"`
	KernelRelease string      `json:"kernel_release"`
	BootTime      int64       `json:"boot_time"` // ns since the epoch
	CPUs          int         `json:"cpus"`
	Interfaces    []Interface `json:"interfaces,omitempty"`
}

// Interface is a network interface with its addresses.
type Interface struct {
	Name string   `json:"name"`
	IPv4 []string `json:"ipv4,omitempty"`
	IPv6 []string `json:"ipv6,omitempty"`
}

// FileSum identifies the content of a file.
type FileSum struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"` // in hex
}

// Probe counts events in the kernel: Seen = Filtered + Delivered + the sum of
// Drops.
type Probe struct {
	Seen      uint64      `json:"seen"`      // events of interest to some rule or to the state
	Filtered  uint64      `json:"filtered"`  // of these, known in the kernel not to match
	Delivered uint64      `json:"delivered"` // of these, put into a ring
	Drops     event.Drops `json:"drops"`
	// Unread are arguments that could not be read from the memory of their
	// process: the events were delivered without them.
	Unread uint64 `json:"arguments_unread"`
	// Untranslated are x32 syscalls without a counterpart, which are not in Seen.
	Untranslated uint64 `json:"syscalls_untranslated"`
	PerCPU       []CPU  `json:"per_cpu,omitempty"`
	Masks        Masks  `json:"process_masks"`
	// Families are Filtered, Delivered and Drops by the program that saw the
	// event; those that saw none are left out.
	Families []Family `json:"families,omitempty"`
	// OpenFilter says that the kernel rules out opens that no rule can match;
	// false where the rules have more patterns than fit.
	OpenFilter bool  `json:"open_filter"`
	Hooks      Hooks `json:"hooks"`
}

// Masks count the masks of processes, by which the kernel leaves out calls that
// no rule can match by facts of the process's own, and what it did by them.
type Masks struct {
	Written  uint64 `json:"written"`
	Held     uint64 `json:"held"`     // about the rules in force; their process may have ended
	Filtered uint64 `json:"filtered"` // calls that were left out: a part of Probe.Filtered
	Stale    uint64 `json:"stale"`    // calls of processes that had changed since their mask was written
}

// Hooks says where the kernel's part sees syscalls.
type Hooks struct {
	InForce   string `json:"in_force"`          // "functions" or "tracepoint"; "" without a kernel
	Functions int    `json:"functions"`         // that are hooked
	Because   string `json:"because,omitempty"` // with tracepoint
}

// Audit counts Kubernetes audit events: each received event was matched, or is
// counted as left out.
type Audit struct {
	Bodies    uint64 `json:"bodies"`    // requests, or lines, that were taken
	Bytes     uint64 `json:"bytes"`     // of these
	Events    uint64 `json:"events"`    // that were matched
	Malformed uint64 `json:"malformed"` // left out: no audit events
	Oversized uint64 `json:"oversized"` // left out: beyond a limit
	Refused   uint64 `json:"refused"`   // requests that the sensor had no time for; their senders try again
	Rejected  uint64 `json:"rejected"`  // requests that are not as they must be, or not allowed
	Alerts    uint64 `json:"alerts"`    // also in Snapshot.Alerts
}

// CPU counts the events of one CPU.
type CPU struct {
	Events uint64 `json:"events"`
	Drops  uint64 `json:"drops"`
}

// Ring is the fill of one ring buffer, in bytes.
type Ring struct {
	Size    uint64 `json:"size"`
	Used    uint64 `json:"used"`
	MaxUsed uint64 `json:"max_used"` // since the start
}

// State holds the counters of the process table.
type State struct {
	Threads    uint64 `json:"threads"`    // processes in the table
	Added      uint64 `json:"added"`      // put into the table
	Removed    uint64 `json:"removed"`    // taken out of it
	Lookups    uint64 `json:"lookups"`    // found in the table
	Fetched    uint64 `json:"fetched"`    // not found, read from the kernel
	Failed     uint64 `json:"failed"`     // not found, and gone
	TableFull  uint64 `json:"table_full"` // not kept for want of room
	Containers uint64 `json:"containers"`
}

// Rule counts for one rule.
type Rule struct {
	Name        string   `json:"name"`
	Priority    uint8    `json:"priority"` // 0 emergency .. 7 debug
	Source      string   `json:"source"`
	Tags        []string `json:"tags,omitempty"`
	Matches     uint64   `json:"matches"`
	Evaluations uint64   `json:"evaluations"` // of its condition in user space
}

// Kind counts the events of one type.
type Kind struct {
	Name   string `json:"name"`
	Events uint64 `json:"events"`
}

// Process counts the events of one process.
type Process struct {
	PID    int32  `json:"pid"`
	Name   string `json:"name"`
	Events uint64 `json:"events"`
}

// KnownProcess is one entry of the process table.
type KnownProcess struct {
	PID       int32  `json:"pid"`
	PPID      int32  `json:"ppid"`  // 0 for none
	Start     uint64 `json:"start"` // ns since boot
	Name      string `json:"name"`
	Container string `json:"container,omitempty"` // its id; empty for the host's processes
}

// Program is one BPF program's own count.
type Program struct {
	Name string   `json:"name"`
	Runs uint64   `json:"runs"`
	Time Duration `json:"time"`
}

// Family counts the events of a family of syscalls, which one program makes.
type Family struct {
	Name      string `json:"name"` // "scheduler": execs, forks and exits of processes
	Delivered Tally  `json:"delivered"`
	Filtered  Tally  `json:"filtered"` // without Masked
	Masked    Tally  `json:"masked"`   // filtered by the process's mask
	Dropped   Tally  `json:"dropped"`
}

// Tally counts events; Time is what the kernel's part took for them, while that
// was measured.
type Tally struct {
	Events uint64   `json:"events"`
	Time   Duration `json:"time"`
}

// Costs are the runs of the programs in the kernel in a measured time.
type Costs struct {
	Elapsed Duration `json:"elapsed"`
	// Programs are those that hooks start; a family's time is in that of the
	// program that jumps to it.
	Programs []Program `json:"programs"`
	Because  string    `json:"because,omitempty"` // there are no Programs
	Families []Family  `json:"families"`
}

// Channel counts the alerts of one output channel: Alerts = Sent + Queued +
// Dropped at any moment. The counts are those of the channel's name: a reload
// that changes its settings does not reset them.
type Channel struct {
	Name        string `json:"name"`
	Alerts      uint64 `json:"alerts"`
	Sent        uint64 `json:"sent"`
	Queued      uint64 `json:"queued"`
	Dropped     uint64 `json:"dropped"`     // Overflow + Refused + Undelivered
	Overflow    uint64 `json:"overflow"`    // the queue was full
	Refused     uint64 `json:"refused"`     // the receiver did not take it
	Undelivered uint64 `json:"undelivered"` // still held when the channel had to end
	Uncertain   uint64 `json:"uncertain"`   // http: a request got no answer, so that the receiver may have it twice
	Errors      uint64 `json:"errors"`      // failed attempts
	Capacity    uint64 `json:"capacity"`
	// Idle says that the channel has no receiver at present, which is no fault.
	Idle bool `json:"idle,omitempty"`
	// Gone says that the receiver is gone for good: standard output was closed.
	Gone bool `json:"gone,omitempty"`
	// LastError is empty when the latest attempt succeeded.
	LastError string `json:"last_error,omitempty"`
	// Latency is from event to receiver.
	Latency Latency `json:"latency"`
	// Streams are the clients of channel grpc.
	Streams []Stream `json:"streams,omitempty"`
}

// Stream is one subscriber of channel grpc.
type Stream struct {
	Peer string `json:"peer"`
	Sent uint64 `json:"sent"`
	Lost uint64 `json:"lost"` // overwritten before this client read them
}
