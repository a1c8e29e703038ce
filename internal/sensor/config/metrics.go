package config

import (
	"fmt"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
)

// Webserver configures health, versions and Prometheus metrics.
type Webserver struct {
	Enabled        bool   `yaml:"enabled" doc:"Enable the server. (Falco's default: on.)"`
	Threadiness    int    `yaml:"threadiness" min:"0" max:"1024" doc:"Accepted without effect: requests are served as they arrive."`
	ListenPort     int    `yaml:"listen_port" min:"0" max:"65535" doc:"The port."`
	ListenAddress  string `yaml:"listen_address" doc:"The IP address to listen on; 0.0.0.0 for all. (Falco's default: 0.0.0.0.)"`
	HealthEndpoint string `yaml:"k8s_healthz_endpoint" doc:"Path of the health check."`
	Prometheus     bool   `yaml:"prometheus_metrics_enabled" doc:"Serve /metrics. Needs metrics.enabled."`
	SSLEnabled     bool   `yaml:"ssl_enabled" doc:"Serve HTTPS."`
	SSLCertificate string `yaml:"ssl_certificate" doc:"PEM file with certificate and key."`
}

// Metrics configures snapshots of the counters.
type Metrics struct {
	Enabled      bool     `yaml:"enabled" doc:"Take snapshots."`
	Interval     Interval `yaml:"interval" doc:"Time between snapshots, like 15m; 100ms to 1y."`
	OutputRule   bool     `yaml:"output_rule" doc:"Send each snapshot as an alert (rule \"Falco internal: metrics snapshot\")."`
	OutputFile   string   `yaml:"output_file" doc:"Append each snapshot to this file, one JSON object per line."`
	Rules        bool     `yaml:"rules_counters_enabled" doc:"Matches for each rule."`
	Resources    bool     `yaml:"resource_utilization_enabled" doc:"CPU and memory of the sensor and the host."`
	State        bool     `yaml:"state_counters_enabled" doc:"Numbers of known processes and containers."`
	Kernel       bool     `yaml:"kernel_event_counters_enabled" doc:"Events and drops, as counted by the probe."`
	PerCPU       bool     `yaml:"kernel_event_counters_per_cpu_enabled" doc:"The same for each CPU."`
	LibbpfStats  bool     `yaml:"libbpf_stats_enabled" doc:"Run counts and times of the probe's programs; needs sysctl kernel.bpf_stats_enabled."`
	ConvertToMB  bool     `yaml:"convert_memory_to_mb" doc:"Memory in MB, not kB or bytes."`
	IncludeEmpty bool     `yaml:"include_empty_values" doc:"Include counters that are zero."`
}

// Interval is a duration as Prometheus writes it.
type Interval time.Duration

// parseInterval reads a duration such as 1h30m or 500ms. A number without a
// unit is refused with Falco's words, since it once meant milliseconds.
func parseInterval(s string) (Interval, error) {
	if _, err := strconv.ParseUint(s, 10, 64); err == nil {
		return 0, fmt.Errorf("Metrics interval was passed as numeric value without Prometheus time unit; write it like 30s or 15m")
	}
	d, err := model.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration; write it like 500ms, 30s, 15m or 1h30m", s)
	}
	if time.Duration(d) < 100*time.Millisecond {
		return 0, fmt.Errorf("Metrics interval must have a minimum value of 100ms, not %s", s)
	}
	if time.Duration(d) > 366*24*time.Hour {
		return 0, fmt.Errorf("%s is too long, at most a year", s)
	}
	return Interval(d), nil
}
