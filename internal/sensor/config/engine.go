package config

// Engine says where events come from.
type Engine struct {
	Kind   string       `yaml:"kind" oneof:"modern_ebpf|kmod|ebpf|replay|nodriver" doc:"modern_ebpf: this host; replay: a capture file; nodriver: no events. Falco's kmod and ebpf mean modern_ebpf here."`
	Modern ModernEBPF   `yaml:"modern_ebpf" doc:"The probe's buffers."`
	Replay EngineReplay `yaml:"replay" doc:"Events from a file."`
}

// ModernEBPF sizes the probe's ring buffers.
type ModernEBPF struct {
	CPUsForEachBuffer int  `yaml:"cpus_for_each_buffer" min:"0" max:"65536" doc:"CPUs that share one ring buffer; 0: one buffer for all."`
	BufSizePreset     int  `yaml:"buf_size_preset" min:"1" max:"10" doc:"Size of each ring buffer: 1 to 10 stand for 1, 2, 4, 8, 16, 32, 64, 128, 256, 512 MiB."`
	DropFailedExit    bool `yaml:"drop_failed_exit" doc:"Do not send failed syscalls to user space. Rules about failed syscalls then never match."`
	DisableIterators  bool `yaml:"disable_iterators" doc:"Read the processes of the host from /proc at start, not with a BPF iterator."`
}

// BufferBytes is the size of one ring buffer.
func (m ModernEBPF) BufferBytes() int { return 1 << 20 << (m.BufSizePreset - 1) }

// EngineReplay configures kind replay.
type EngineReplay struct {
	CaptureFile string `yaml:"capture_file" doc:"A .scap file, required for kind replay."`
}

// BaseSyscalls widens the set of observed syscalls.
type BaseSyscalls struct {
	CustomSet []string `yaml:"custom_set" doc:"Names of syscalls to observe in any case; !NAME excludes one. The kernel sends them even if no rule can match; of opens, it sends all kinds. High-volume I/O syscalls also need base_syscalls.all."`
	Repair    bool     `yaml:"repair" doc:"Accepted without effect: the sensor always observes only the syscalls that rules and its own state need."`
	All       bool     `yaml:"all" doc:"Also observe high-volume I/O syscalls (read, write and similar) for rules."`
}

// FalcoLibs bounds the state.
type FalcoLibs struct {
	ThreadTableSize int `yaml:"thread_table_size" min:"1024" max:"4194304" doc:"Maximum number of processes in the table."`
	PurgeInterval   int `yaml:"thread_table_auto_purging_interval_s" min:"1" max:"31536000" doc:"Seconds between checks for processes whose exit was missed."`
	PurgeTimeout    int `yaml:"thread_table_auto_purging_thread_timeout_s" min:"1" max:"31536000" doc:"Seconds without events after which such a check looks for a process, and removes it if it has ended."`
	Snaplen         int `yaml:"snaplen" min:"0" max:"65535" doc:"Bytes of I/O data kept with an event."`
}

// Capture decides when events are recorded around alerts; Recordings below
// peregrine bounds the disk space.
type Capture struct {
	Enabled       bool   `yaml:"enabled" doc:"Record events around alerts. Off: rules with capture: true record nothing."`
	PathPrefix    string `yaml:"path_prefix" doc:"Prefix of file names: PREFIX_TIME_NUMBER.scap, with the first event's time in ns since the epoch, and its number."`
	Mode          string `yaml:"mode" oneof:"rules|all_rules" doc:"rules: around alerts of rules with capture: true; all_rules: around every alert of a syscall."`
	Duration      int    `yaml:"default_duration" min:"1" max:"86400000" doc:"Milliseconds to record after an alert, for rules without capture_duration. Each further alert extends the current recording."`
	MaxFileSizeMB int    `yaml:"max_file_size_mb" min:"0" max:"1048576" doc:"Size in MiB at which a recording ends, with an alert of the rule \"Falco internal: capture size limit reached\". 0: limited only by peregrine.recordings.total_mb."`
}

// Recordings bounds the recordings around alerts.
type Recordings struct {
	Files    int `yaml:"files" min:"1" max:"100000" doc:"Recordings with the same path_prefix to keep; older ones of the same user are deleted."`
	TotalMB  int `yaml:"total_mb" min:"2" max:"1048576" doc:"Total size of the recordings in MiB. The oldest are deleted; a single recording that reaches this size ends."`
	BufferMB int `yaml:"buffer_mb" min:"1" max:"4096" doc:"MiB of events that may wait to be written. Events that do not fit are missing in the file, and counted."`
}

// EventDrops is the reaction to lost events.
type EventDrops struct {
	Threshold float64  `yaml:"threshold" min:"0" max:"1" refused:"threshold must be a double in the range [0, 1]" doc:"Share of the events of a second above which a loss causes a reaction."`
	Actions   []string `yaml:"actions" oneof:"ignore|log|alert|exit" doc:"Any of ignore (only alone), log, alert (rule \"Falco internal: syscall event drop\"), exit (status 1)."`
	Rate      float64  `yaml:"rate" min:"0" max:"1e9" doc:"Average reactions per second: the refill rate of a token bucket."`
	MaxBurst  float64  `yaml:"max_burst" min:"0" max:"1e9" doc:"Size of the bucket."`
	Simulate  bool     `yaml:"simulate_drops" doc:"Simulate the loss of one event per second, to test the actions."`
}

// Timeouts is the reaction to silence.
type Timeouts struct {
	MaxConsecutives int `yaml:"max_consecutives" min:"1" max:"4294967295" doc:"Accepted without effect: the kernel wakes the sensor when events arrive, so polls without events are normal."`
}
