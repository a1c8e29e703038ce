package web

import (
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
)

// collector renders a snapshot for each scrape. It describes nothing
// beforehand: which series there are depends on the sensor's rules.
type collector struct {
	take   func() (metrics.Snapshot, error)
	config config.Metrics
}

var _ prometheus.Collector = collector{}

func (c collector) Describe(chan<- *prometheus.Desc) {}

func (c collector) Collect(out chan<- prometheus.Metric) {
	s, err := c.take()
	if err != nil {
		out <- prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
		return
	}
	e := exposition{out}
	e.about(&s)
	e.events(&s)
	e.alerts(&s)
	e.metadata(&s)
	e.audit(s.Audit)
	e.recordings(&s)
	if c.config.Kernel {
		e.probe(&s, c.config.PerCPU)
	}
	if c.config.State {
		e.state(&s)
	}
	if c.config.Resources {
		e.resources(&s)
	}
	if c.config.Rules {
		e.rules(&s)
	}
	if c.config.LibbpfStats {
		e.programs(&s)
	}
}

// exposition writes series. Labels are name, value, name, value, ...
type exposition struct{ out chan<- prometheus.Metric }

func (e exposition) counter(name string, value float64, labels ...string) {
	e.metric(prometheus.CounterValue, name, value, labels)
}

func (e exposition) gauge(name string, value float64, labels ...string) {
	e.metric(prometheus.GaugeValue, name, value, labels)
}

// info is a series of value 1 whose labels carry the information.
func (e exposition) info(name string, labels ...string) { e.gauge(name, 1, labels...) }

func (e exposition) metric(kind prometheus.ValueType, name string, value float64, labels []string) {
	names, values := labelPairs(labels)
	m, err := prometheus.NewConstMetric(prometheus.NewDesc(name, helpOf(name), names, nil), kind, value, values...)
	if err != nil {
		m = prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
	}
	e.out <- m
}

// labelPairs splits labels; values are made valid UTF-8, as Prometheus needs.
func labelPairs(labels []string) (names, values []string) {
	for i := 0; i+1 < len(labels); i += 2 {
		names = append(names, labels[i])
		values = append(values, strings.ToValidUTF8(labels[i+1], "\uFFFD"))
	}
	return names, values
}

func (e exposition) about(s *metrics.Snapshot) {
	e.info("falcosecurity_falco_version_info", "version", s.Version)
	e.info("falcosecurity_falco_kernel_release_info", "kernel_release", s.Host.KernelRelease)
	e.info("falcosecurity_evt_hostname_info", "hostname", s.Host.Name)
	e.info("falcosecurity_scap_engine_name_info", "engine_name", s.EngineName, "evt_source", s.Source)
	for _, f := range s.RulesFiles {
		e.info("falcosecurity_falco_sha256_rules_files_info", "file_name", base(f.Name), "sha256", f.SHA256)
	}
	for _, f := range s.ConfigFiles {
		e.info("falcosecurity_falco_sha256_config_files_info", "file_name", base(f.Name), "sha256", f.SHA256)
	}
	e.gauge("falcosecurity_falco_start_timestamp_nanoseconds", float64(s.Start))
	e.gauge("falcosecurity_falco_reload_timestamp_nanoseconds", float64(s.Reload))
	e.gauge("falcosecurity_falco_host_boot_timestamp_nanoseconds", float64(s.Host.BootTime))
	e.counter("falcosecurity_falco_duration_seconds_total", s.Elapsed.Seconds())
	e.gauge("falcosecurity_falco_host_num_cpus_total", float64(s.Host.CPUs))
	e.counter("peregrine_reloads_total", float64(s.Reloads), "result", "ok")
	e.counter("peregrine_reloads_total", float64(s.ReloadErrors), "result", "failed")
	e.counter("peregrine_file_errors_total", float64(s.StatsErrors), "file", "statistics")
	e.counter("peregrine_file_errors_total", float64(s.MetricsErrors), "file", "metrics")
}

// audit is about Kubernetes audit events; nothing without that source.
func (e exposition) audit(a *metrics.Audit) {
	if a == nil {
		return
	}
	for _, c := range []struct {
		result string
		n      uint64
	}{{"matched", a.Events}, {"malformed", a.Malformed}, {"oversized", a.Oversized}} {
		e.counter("peregrine_k8s_audit_events_total", float64(c.n), "result", c.result)
	}
	for _, c := range []struct {
		result string
		n      uint64
	}{{"taken", a.Bodies}, {"refused", a.Refused}, {"rejected", a.Rejected}} {
		e.counter("peregrine_k8s_audit_requests_total", float64(c.n), "result", c.result)
	}
	e.counter("peregrine_k8s_audit_bytes_total", float64(a.Bytes))
}

// recordings are those made around alerts.
func (e exposition) recordings(s *metrics.Snapshot) {
	r := &s.Recordings
	e.counter("peregrine_recordings_total", float64(r.Files))
	e.counter("peregrine_recordings_limited_total", float64(r.Limited))
	e.counter("peregrine_recording_errors_total", float64(r.Errors))
	e.counter("peregrine_recorded_events_total", float64(r.Events), "result", "written")
	e.counter("peregrine_recorded_events_total", float64(r.Missed), "result", "missed")
}

// metadata has the names of Falco's plugin for its two counters.
func (e exposition) metadata(s *metrics.Snapshot) {
	e.gauge("falcosecurity_plugins_container_n_containers_total", float64(s.Metadata.Known))
	e.gauge("falcosecurity_plugins_container_n_missing_container_images_total", float64(s.Metadata.Imageless))
	e.counter("peregrine_metadata_waited_total", float64(s.Metadata.Waited))
	e.counter("peregrine_metadata_wait_cut_total", float64(s.Metadata.Cut))
	for _, r := range s.Metadata.Runtimes {
		if !r.Present {
			continue
		}
		connected := 0.0
		if r.Connected {
			connected = 1
		}
		e.gauge("peregrine_container_runtime_connected", connected, "engine", r.Engine, "socket", r.Socket)
		e.counter("peregrine_container_runtime_connects_total", float64(r.Connects), "engine", r.Engine, "socket", r.Socket)
	}
}

// base is the last part of a path, or the path of a file in the binary.
func base(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

func (e exposition) events(s *metrics.Snapshot) {
	filter := 0.0
	if s.Probe.OpenFilter {
		filter = 1
	}
	e.gauge("peregrine_open_filter", filter)
	e.counter("peregrine_arguments_unread_total", float64(s.Probe.Unread))
	e.counter("peregrine_syscalls_untranslated_total", float64(s.Probe.Untranslated))
	masks := &s.Probe.Masks
	e.gauge("peregrine_process_masks", float64(masks.Held))
	e.counter("peregrine_process_masks_written_total", float64(masks.Written))
	for result, n := range map[string]uint64{"filtered": masks.Filtered, "stale": masks.Stale} {
		e.counter("peregrine_process_mask_events_total", float64(n), "result", result)
	}
	e.counter("falcosecurity_falco_num_evts_total", float64(s.Events))
	for stage, n := range map[string]uint64{
		"seen": s.Probe.Seen, "filtered_in_kernel": s.Probe.Filtered, "delivered": s.Probe.Delivered,
		"dropped": s.Probe.Drops.Total(), "processed": s.Events,
	} {
		e.counter("peregrine_events_total", float64(n), "stage", stage)
	}
	for i, r := range s.Rings {
		ring := strconv.Itoa(i)
		e.gauge("peregrine_ring_size_bytes", float64(r.Size), "ring", ring)
		e.gauge("peregrine_ring_used_bytes", float64(r.Used), "ring", ring)
		e.gauge("peregrine_ring_used_max_bytes", float64(r.MaxUsed), "ring", ring)
	}
	for _, k := range s.Kinds {
		e.counter("peregrine_events_by_type_total", float64(k.Events), "evt_type", k.Name)
	}
}

func (e exposition) alerts(s *metrics.Snapshot) {
	e.counter("falcosecurity_falco_outputs_queue_num_drops_total", float64(s.OutputDrops()))
	e.counter("peregrine_alerts_total", float64(s.Alerts))
	e.counter("peregrine_alerts_throttled_total", float64(s.Throttled))
	for _, c := range s.Channels {
		for result, n := range map[string]uint64{"sent": c.Sent, "overflow": c.Overflow, "refused": c.Refused, "undelivered": c.Undelivered} {
			e.counter("peregrine_output_alerts_total", float64(n), "channel", c.Name, "result", result)
		}
		e.counter("peregrine_output_uncertain_total", float64(c.Uncertain), "channel", c.Name)
		e.counter("peregrine_output_errors_total", float64(c.Errors), "channel", c.Name)
		e.gauge("peregrine_output_queue", float64(c.Queued), "channel", c.Name)
		e.gauge("peregrine_output_queue_capacity", float64(c.Capacity), "channel", c.Name)
		e.latency("peregrine_output_latency_seconds", c.Latency, "channel", c.Name)
	}
}

// latency writes a histogram of the time from event to receiver.
func (e exposition) latency(name string, l metrics.Latency, labels ...string) {
	names, values := labelPairs(labels)
	buckets, below := map[float64]uint64{}, uint64(0)
	for i, bound := range metrics.Bounds {
		if i < len(l.Counts) {
			below += l.Counts[i]
		}
		buckets[bound.Seconds()] = below
	}
	m, err := prometheus.NewConstHistogram(prometheus.NewDesc(name, helpOf(name), names, nil), l.Total(), l.Sum.Seconds(), buckets, values...)
	if err != nil {
		m = prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
	}
	e.out <- m
}

func (e exposition) probe(s *metrics.Snapshot, perCPU bool) {
	d := &s.Probe.Drops
	e.counter("falcosecurity_scap_n_evts_total", float64(s.Probe.Seen))
	e.counter("falcosecurity_scap_n_drops_total", float64(d.Total()))
	for category, n := range d[event.DropBuffer] {
		e.counter("falcosecurity_scap_n_drops_buffer_total", float64(n), "dir", "exit", "drop", event.DropCategory(category).String())
	}
	e.counter("falcosecurity_scap_n_drops_scratch_map_total", float64(d.Of(event.DropScratch)))
	e.counter("falcosecurity_scap_n_drops_page_faults_total", float64(d.Of(event.DropPageFault)))
	e.counter("falcosecurity_scap_n_drops_bug_total", float64(d.Of(event.DropBug)))
	if !perCPU {
		return
	}
	for i, c := range s.Probe.PerCPU {
		e.counter("falcosecurity_scap_n_evts_cpu_total", float64(c.Events), "cpu", strconv.Itoa(i))
		e.counter("falcosecurity_scap_n_drops_cpu_total", float64(c.Drops), "cpu", strconv.Itoa(i))
	}
}

func (e exposition) state(s *metrics.Snapshot) {
	e.gauge("falcosecurity_scap_n_threads_total", float64(s.State.Threads))
	e.gauge("falcosecurity_scap_n_containers_total", float64(s.State.Containers))
	for name, n := range map[string]uint64{
		"n_added_threads": s.State.Added, "n_removed_threads": s.State.Removed, "n_cached_thread_lookups": s.State.Lookups,
		"n_noncached_thread_lookups": s.State.Fetched, "n_failed_thread_lookups": s.State.Failed,
		"n_drops_full_threadtable": s.State.TableFull,
	} {
		e.counter("falcosecurity_scap_"+name+"_total", float64(n))
	}
}

func (e exposition) resources(s *metrics.Snapshot) {
	r := s.Resources
	e.gauge("falcosecurity_falco_cpu_usage_ratio", s.CPUShare(nil))
	e.counter("process_cpu_seconds_total", r.CPUTime.Seconds())
	e.gauge("falcosecurity_falco_memory_rss_bytes", float64(r.RSS))
	e.gauge("falcosecurity_falco_memory_vsz_bytes", float64(r.VSZ))
	e.gauge("falcosecurity_falco_memory_pss_bytes", float64(r.PSS))
	e.gauge("falcosecurity_falco_container_memory_used_bytes", float64(r.ContainerMemory))
	e.gauge("falcosecurity_falco_host_cpu_usage_ratio", r.HostCPU)
	e.gauge("falcosecurity_falco_host_memory_used_bytes", float64(r.HostMemory))
	e.gauge("falcosecurity_falco_host_procs_running_total", float64(r.HostProcs))
	e.gauge("falcosecurity_falco_host_open_fds_total", float64(r.HostOpenFDs))
}

// rules writes Falco's counter for rules that have matched, and ours for all
// that were evaluated.
func (e exposition) rules(s *metrics.Snapshot) {
	for _, r := range s.Rules {
		labels := []string{"priority", strconv.Itoa(int(r.Priority)), "rule_name", r.Name, "source", r.Source}
		seen := map[string]bool{}
		for _, tag := range r.Tags {
			if name := "tag_" + labelName(tag); !seen[name] {
				seen[name] = true
				labels = append(labels, name, "true")
			}
		}
		if r.Matches > 0 {
			e.counter("falcosecurity_falco_rules_matches_total", float64(r.Matches), labels...)
		}
		if r.Evaluations > 0 {
			e.counter("peregrine_rule_evaluations_total", float64(r.Evaluations), "rule_name", r.Name)
		}
	}
}

// labelName keeps letters, digits and underscores.
func labelName(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, s)
}

func (e exposition) programs(s *metrics.Snapshot) {
	for _, p := range s.Programs {
		e.counter("falcosecurity_scap_"+labelName(p.Name)+"_run_cnt_total", float64(p.Runs))
		e.counter("falcosecurity_scap_"+labelName(p.Name)+"_run_time_nanoseconds_total", float64(p.Time))
	}
}
