package web

import "strings"

// helpOf returns the HELP text of a series. A series without a text is a
// defect, which a test finds.
func helpOf(name string) string {
	if text, ok := help[name]; ok {
		return text
	}
	for suffix, text := range programHelp { // series of the probe's programs
		if strings.HasPrefix(name, "falcosecurity_scap_") && strings.HasSuffix(name, suffix) {
			return text
		}
	}
	return ""
}

var programHelp = map[string]string{
	"_run_cnt_total":              "Runs of this program of the probe, as the kernel counts them (kernel.bpf_stats_enabled).",
	"_run_time_nanoseconds_total": "Time in this program of the probe, in ns, as the kernel measures it (kernel.bpf_stats_enabled).",
}

var help = map[string]string{
	"falcosecurity_evt_hostname_info":                                  "Name of the host, as in alerts.",
	"falcosecurity_falco_container_memory_used_bytes":                  "Memory of the sensor's cgroup.",
	"falcosecurity_falco_cpu_usage_ratio":                              "CPU time of the sensor over its running time; 1 is one CPU.",
	"falcosecurity_falco_duration_seconds_total":                       "Seconds since the start.",
	"falcosecurity_falco_host_boot_timestamp_nanoseconds":              "Start of the host, in ns since the epoch.",
	"falcosecurity_falco_host_cpu_usage_ratio":                         "Share of all CPUs that was busy since the host started, 0 to 1.",
	"falcosecurity_falco_host_memory_used_bytes":                       "Used memory of the host.",
	"falcosecurity_falco_host_num_cpus_total":                          "CPUs that the sensor may use.",
	"falcosecurity_falco_host_open_fds_total":                          "Open files of the host.",
	"falcosecurity_falco_host_procs_running_total":                     "Tasks of the host that run or wait for a CPU.",
	"falcosecurity_falco_kernel_release_info":                          "Release of the kernel.",
	"falcosecurity_falco_memory_pss_bytes":                             "Proportional set size of the sensor.",
	"falcosecurity_falco_memory_rss_bytes":                             "Resident set size of the sensor.",
	"falcosecurity_falco_memory_vsz_bytes":                             "Virtual size of the sensor.",
	"falcosecurity_falco_num_evts_total":                               "Events that user space has processed.",
	"falcosecurity_falco_outputs_queue_num_drops_total":                "Alerts that were dropped, over all channels.",
	"falcosecurity_falco_reload_timestamp_nanoseconds":                 "Time at which the current configuration was loaded, in ns since the epoch.",
	"falcosecurity_falco_rules_matches_total":                          "Alerts of a rule.",
	"falcosecurity_falco_sha256_config_files_info":                     "SHA-256 of a current configuration file.",
	"falcosecurity_falco_sha256_rules_files_info":                      "SHA-256 of a current rules file.",
	"falcosecurity_falco_start_timestamp_nanoseconds":                  "Start of the sensor, in ns since the epoch.",
	"falcosecurity_falco_version_info":                                 "Version of the sensor.",
	"falcosecurity_plugins_container_n_containers_total":               "Containers whose metadata is known.",
	"falcosecurity_plugins_container_n_missing_container_images_total": "Containers whose metadata has no image.",
	"falcosecurity_scap_engine_name_info":                              "Source of events.",
	"falcosecurity_scap_n_added_threads_total":                         "Processes added to the process table.",
	"falcosecurity_scap_n_cached_thread_lookups_total":                 "Lookups of processes that were in the table.",
	"falcosecurity_scap_n_containers_total":                            "Containers of the processes in the table.",
	"falcosecurity_scap_n_drops_buffer_total":                          "Events lost because a ring buffer was full, by kind of syscall.",
	"falcosecurity_scap_n_drops_bug_total":                             "Events lost because of a bug.",
	"falcosecurity_scap_n_drops_cpu_total":                             "Events lost on a CPU.",
	"falcosecurity_scap_n_drops_full_threadtable_total":                "Processes not stored because the table was full.",
	"falcosecurity_scap_n_drops_page_faults_total":                     "Events lost because memory of the process could not be read.",
	"falcosecurity_scap_n_drops_scratch_map_total":                     "Events lost because another event was in progress on the same CPU.",
	"falcosecurity_scap_n_drops_total":                                 "Events lost in the kernel.",
	"falcosecurity_scap_n_evts_cpu_total":                              "Events of interest on a CPU, including those that were filtered or lost.",
	"falcosecurity_scap_n_evts_total":                                  "Events of interest in the kernel, including those that were filtered or lost.",
	"falcosecurity_scap_n_failed_thread_lookups_total":                 "Lookups of processes that had ended.",
	"falcosecurity_scap_n_noncached_thread_lookups_total":              "Lookups of processes that had to be read from the kernel.",
	"falcosecurity_scap_n_removed_threads_total":                       "Processes removed from the process table.",
	"falcosecurity_scap_n_threads_total":                               "Processes in the process table.",
	"peregrine_alerts_throttled_total":                                 "Alerts dropped by outputs.rate.",
	"peregrine_alerts_total":                                           "Alerts raised by rules.",
	"peregrine_arguments_unread_total":                                 "Arguments of delivered events that could not be read from the process's memory.",
	"peregrine_container_runtime_connected":                            "1 while the sensor follows this container runtime.",
	"peregrine_container_runtime_connects_total":                       "Connections made to this container runtime.",
	"peregrine_events_by_type_total":                                   "Processed events of a type.",
	"peregrine_events_total":                                           "Events by stage: seen = filtered_in_kernel + delivered + dropped.",
	"peregrine_file_errors_total":                                      "Samples that could not be written to a file.",
	"peregrine_k8s_audit_bytes_total":                                  "Bytes of received audit events.",
	"peregrine_k8s_audit_events_total":                                 "Audit events by result.",
	"peregrine_k8s_audit_requests_total":                               "Requests of the API server's webhook by result.",
	"peregrine_metadata_wait_cut_total":                                "Events that were decided without their container's metadata.",
	"peregrine_metadata_waited_total":                                  "Events that waited for their container's metadata.",
	"peregrine_process_masks":                                          "Masks of processes in the kernel, about the rules in force.",
	"peregrine_process_masks_written_total":                            "Masks of processes that were written for the kernel.",
	"peregrine_process_mask_events_total":                              "Events of processes with a mask: filtered by it, or stale, where the process has changed since.",
	"peregrine_open_filter":                                            "1 while the kernel filters opens that no rule can match.",
	"peregrine_output_alerts_total":                                    "Alerts of a channel by result.",
	"peregrine_output_errors_total":                                    "Failed attempts to deliver.",
	"peregrine_recorded_events_total":                                  "Events of recordings by result: written, or missed because the buffer or the file was full, or could not be written.",
	"peregrine_recording_errors_total":                                 "Recordings that could not be written, or not completely.",
	"peregrine_recordings_limited_total":                               "Recordings that ended because of their size.",
	"peregrine_recordings_total":                                       "Recordings started by alerts.",
	"peregrine_output_latency_seconds":                                 "Time from event to receiver.",
	"peregrine_output_queue":                                           "Alerts in the queue of a channel.",
	"peregrine_output_queue_capacity":                                  "Capacity of the queue of a channel; 0 if the channel is disabled.",
	"peregrine_output_uncertain_total":                                 "Alerts that the receiver may have received twice.",
	"peregrine_reloads_total":                                          "Reloads by result.",
	"peregrine_ring_size_bytes":                                        "Size of a ring buffer.",
	"peregrine_ring_used_bytes":                                        "Bytes in a ring buffer that wait for user space.",
	"peregrine_ring_used_max_bytes":                                    "Maximum of the bytes in a ring buffer that waited for user space.",
	"peregrine_rule_evaluations_total":                                 "Evaluations of a rule's condition in user space.",
	"peregrine_syscalls_untranslated_total":                            "x32 syscalls without a counterpart, which are not seen.",
	"process_cpu_seconds_total":                                        "CPU time of the sensor.",
}
