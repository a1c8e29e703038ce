// Package usage samples what a process costs: CPU by kind, memory in its
// several meanings, and what its cgroup withheld. It only reads /proc and
// /sys/fs/cgroup, ten times a second, and holds two open files for that.
package usage

// Window is the use of one process over a window of time. CPU is in CPUs,
// memory in bytes. Cgroup figures are zero when the process has no limit of
// its own to report.
type Window struct {
	Samples int     `json:"samples"`
	Seconds float64 `json:"seconds"`
	User    float64 `json:"cpu_user"`
	System  float64 `json:"cpu_system"`
	CPU     float64 `json:"cpu"`      // User + System, mean over the window
	CPUPeak float64 `json:"cpu_peak"` // highest of any half second

	Throttled  int64  `json:"throttled_ns"` // time the cgroup kept the process from running
	Throttles  uint64 `json:"throttles"`    // periods in which it did
	Cgroup     string `json:"cgroup,omitempty"`
	CgroupMean uint64 `json:"cgroup_memory_mean,omitempty"`
	CgroupPeak uint64 `json:"cgroup_memory_peak,omitempty"`
	OOMKills   uint64 `json:"oom_kills,omitempty"`

	RSSMean  uint64 `json:"rss_mean"`
	RSSPeak  uint64 `json:"rss_peak"`
	RSSFirst uint64 `json:"rss_first"` // first and last sample: the slope
	RSSLast  uint64 `json:"rss_last"`
	PSSPeak  uint64 `json:"pss_peak"` // sampled once a second: reading it takes the process's mmap lock
	Virtual  uint64 `json:"virtual"`

	// Gone says that the process ended within the window.
	Gone bool `json:"gone,omitempty"`
}
