package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var update = flag.Bool("update", false, "rewrite docs/configuration.md")

const (
	manual = "../../../docs/configuration.md"
	marker = "<!-- generated from internal/sensor/config: go test ./internal/sensor/config -update -->\n"
)

// The manual's tables are those of the code.
func TestReference(t *testing.T) {
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	intro, got, found := strings.Cut(string(text), marker)
	if !found {
		t.Fatalf("%s has no line %s", manual, marker)
	}
	var want strings.Builder
	want.WriteByte('\n')
	if err := writeReference(&want); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(manual, []byte(intro+marker+want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		got = want.String()
	}
	if diff := cmp.Diff(want.String(), got); diff != "" {
		t.Errorf("docs/configuration.md is old; -update rewrites it (-want +got)\n%s", diff)
	}
}

// Every key can be given with its default, explains itself, and every key has
// a place where the default lives.
func TestEveryKey(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Keys() {
		if seen[k.Path] {
			t.Errorf("%s is there twice", k.Path)
		}
		seen[k.Path] = true
		if k.Doc == "" {
			t.Errorf("%s has no doc tag", k.Path)
		}
		if k.Default == "" || strings.Contains(k.Path, "[]") || k.Path == "engine.kind" {
			continue
		}
		c, err := load(t, "stdout_output: {enabled: true}\n", k.Path+"="+strings.Trim(k.Default, `"`))
		if err != nil {
			t.Errorf("%s: its own default is refused: %v", k.Path, err)
			continue
		}
		c.Files = nil
		want := Default()
		if diff := cmp.Diff(want, c, cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(Config{})); diff != "" {
			t.Errorf("%s=%s (-want +got)\n%s", k.Path, k.Default, diff)
		}
	}
	if len(seen) < 120 {
		t.Errorf("%d keys only", len(seen))
	}
}

// The configuration that Falco ships loads without a warning.
func TestShippedKeys(t *testing.T) {
	c, err := load(t, `
config_files: [DIR/config.d]
watch_config_files: true
rules_files: [/etc/falco/falco_rules.yaml, /etc/falco/falco_rules.local.yaml, /etc/falco/rules.d]
engine:
  kind: modern_ebpf
  kmod: {buf_size_preset: 4, drop_failed_exit: false}
  modern_ebpf: {cpus_for_each_buffer: 2, buf_size_preset: 4, drop_failed_exit: false}
  replay: {capture_file: ""}
capture: {enabled: false, path_prefix: /tmp/falco, mode: rules, default_duration: 5000}
plugins: []
load_plugins: []
plugins_hostinfo: true
time_format_iso_8601: false
buffer_format_base64: false
priority: debug
json_output: false
json_include_output_property: true
json_include_message_property: false
json_include_output_fields_property: true
json_include_tags_property: true
buffered_outputs: false
rule_matching: first
outputs_queue: {capacity: 0}
append_output: [{suggested_output: true}]
stdout_output: {enabled: true}
syslog_output: {enabled: true}
file_output: {enabled: false, keep_alive: false, filename: ./events.txt}
http_output: {enabled: false, url: "", user_agent: falcosecurity/falco, insecure: false, ca_cert: "", ca_bundle: "", ca_path: /etc/ssl/certs, mtls: false, client_cert: /etc/ssl/certs/client.crt, client_key: /etc/ssl/certs/client.key, echo: false, compress_uploads: false, keep_alive: false, max_consecutive_timeouts: 5}
program_output: {enabled: false, keep_alive: false, program: "mail -s alert root"}
webserver: {enabled: true, threadiness: 0, listen_port: 8765, listen_address: 0.0.0.0, k8s_healthz_endpoint: /healthz, prometheus_metrics_enabled: false, ssl_enabled: false, ssl_certificate: /etc/falco/falco.pem}
log_stderr: true
log_syslog: true
log_level: info
libs_logger: {enabled: true, severity: info}
output_timeout: 2000
syscall_event_timeouts: {max_consecutives: 1000}
syscall_event_drops: {threshold: .1, actions: [log, alert], rate: .03333, max_burst: 1, simulate_drops: false}
metrics: {enabled: false, interval: 1h, output_rule: true, rules_counters_enabled: true, resource_utilization_enabled: true, state_counters_enabled: true, kernel_event_counters_enabled: true, kernel_event_counters_per_cpu_enabled: false, libbpf_stats_enabled: true, plugins_metrics_enabled: true, jemalloc_stats_enabled: false, convert_memory_to_mb: true, include_empty_values: false}
base_syscalls: {custom_set: [], repair: false, all: false}
falco_libs: {thread_table_size: 262144, thread_table_auto_purging_interval_s: 300, thread_table_auto_purging_thread_timeout_s: 300, snaplen: 80}
static_fields: {}
metadata_download: {max_mb: 100, chunk_wait_us: 1000, watch_freq_sec: 1}
`)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Notes {
		if n.Severity != Note {
			t.Error(n)
		}
	}
	if !c.Webserver.Enabled || c.Webserver.ListenAddress != "0.0.0.0" || !c.Syslog.Enabled {
		t.Errorf("%+v", c)
	}
}

func TestExpandRulesFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.yaml", "a.yml", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	single := filepath.Join(dir, "notes.txt")
	c := Config{RulesFiles: []string{single, dir, "/missing.yaml"}}
	files, missing, err := c.ExpandRulesFiles()
	want := []string{single, filepath.Join(dir, "a.yml"), filepath.Join(dir, "b.yaml")}
	if err != nil || !reflect.DeepEqual(files, want) || !reflect.DeepEqual(missing, []string{"/missing.yaml"}) {
		t.Errorf("files %q missing %q error %v", files, missing, err)
	}
	c.RulesFiles = []string{"/missing.yaml"}
	if _, _, err := c.ExpandRulesFiles(); err == nil || !strings.Contains(err.Error(), "none of /missing.yaml") {
		t.Errorf("error %v", err)
	}
}

// The paths of -V.
func TestRulesFilesOf(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o644)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a, b, text, comma := file("d/a.yaml"), file("d/b.yml"), file("d/c.txt"), file("x,y")
	none := filepath.Join(dir, "none")
	tests := []struct {
		paths, want []string
		err         string
	}{
		{[]string{filepath.Dir(a)}, []string{a, b}, ""},
		{[]string{b + "," + a, text}, []string{b, a, text}, ""},
		{[]string{comma, a + "," + filepath.Dir(a)}, []string{comma, a, a, b}, ""},
		{[]string{a, none}, nil, none + ": no such file or directory"},
		{[]string{a + "," + none}, nil, none + ": no such file or directory"},
		{[]string{t.TempDir()}, nil, "has no files named *.yaml or *.yml"},
	}
	for _, tt := range tests {
		got, err := RulesFilesOf(tt.paths)
		if !slices.Equal(got, tt.want) || tt.err == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q: %q, error %v", tt.paths, got, err)
		}
	}
}
