package sensor

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics/live"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// unprovoked are fields that stay zero on a healthy host, with their causes. A
// running sensor measures all other fields of a snapshot.
var unprovoked = map[string]string{
	"Audit":                "the other source",
	"Metadata":             "container runtimes",
	"Throttled":            "outputs.rate",
	"LastReloadErr":        "a reload that fails after others",
	"StatsErrors":          "a full disk",
	"MetricsErrors":        "a full disk",
	"Probe.Drops":          "more events than are taken",
	"State.Removed":        "events of exits, which rules may not need",
	"State.Fetched":        "a lost fork",
	"State.Failed":         "a lost fork",
	"State.TableFull":      "falco_libs.thread_table_size",
	"State.Containers":     "containers",
	"Probe.PerCPU[].Drops": "more events than are taken",
	"Rings[].Used":         "what has just come",
	"Costs":                "sensor status --programs",

	"Probe.Families[].Dropped":        "more events than are taken",
	"Probe.Families[].Filtered.Time":  "sensor status --programs",
	"Probe.Families[].Delivered.Time": "sensor status --programs",
	"Probe.Families[].Masked":         "a busy process without a rule",

	"Probe.Unread":       "memory that is not there",
	"Probe.Untranslated": "an x32 program",

	"Probe.Masks": "a busy process without a rule",

	"Rules[].Priority":  "0 is emergency",
	"Rules[].Tags":      "the rule's own",
	"Programs[].Time":   "kernel.bpf_stats_enabled",
	"Programs[].Runs":   "kernel.bpf_stats_enabled",
	"Channels[].Queued": "a receiver that is slow", "Channels[].Dropped": "a receiver that refuses",
	"Channels[].Overflow": "a full queue", "Channels[].Refused": "a receiver that refuses", "Channels[].Undelivered": "a stop",
	"Channels[].Uncertain": "a connection that breaks", "Channels[].Errors": "a receiver that fails", "Channels[].Idle": "gRPC without a client",
	"Channels[].Gone": "a closed standard output", "Channels[].LastError": "a receiver that fails", "Channels[].Streams": "gRPC clients",
	"Resources.ContainerMemory": "a memory cgroup",
	"Recordings.Limited":        "a full recording", "Recordings.Errors": "a full disk", "Recordings.Missed": "a full buffer",
	"Probe.Hooks.Functions":  "a kernel whose functions can be hooked",
	"Host.Interfaces[].IPv6": "the host's addresses",
	"Host.Interfaces[].IPv4": "the host's addresses",
}

// Every field of a snapshot is set by a running sensor, every metric of the
// documentation is served by it, and the sums hold in every snapshot.
func TestEverythingIsMeasured(t *testing.T) {
	requireBPF(t)
	dir := t.TempDir()
	marker, configFile, rules := filepath.Join(dir, "marker"), filepath.Join(dir, "c.yaml"), filepath.Join(dir, "rules.yaml")
	socket, port := filepath.Join(dir, "socket"), freePort(t)
	write(t, marker, "")
	write(t, rules, fmt.Sprintf("- rule: Marker\n  desc: d\n  condition: evt.type in (open, openat) and fd.name=%s\n  output: o\n  priority: INFO\n", marker))
	write(t, configFile, fmt.Sprintf(`
watch_config_files: false
rules_files: [%s]
json_output: true
stdout_output: {enabled: true}
webserver: {enabled: true, listen_port: %d, prometheus_metrics_enabled: true}
metrics: {enabled: true, interval: 100ms, libbpf_stats_enabled: true, kernel_event_counters_per_cpu_enabled: true}
capture: {enabled: true, mode: all_rules, path_prefix: %s/recording}
peregrine: {status_socket: %s}
`, rules, port, dir, socket))
	s := startWith(t, func() (*config.Config, error) { return config.Load(config.Options{Path: configFile}) })
	s.provoke("of the marker", func() {
		for range 100 {
			if f, err := os.Open(marker); err == nil {
				f.Close()
			}
		}
	}, func(a alertLine) bool { return a.Rule == "Marker" })
	for _, word := range []string{"reloaded reload=1 ", "stays in force"} {
		done := s.stderr.saw(word)
		s.hangup <- syscall.SIGHUP
		select {
		case <-done:
		case <-time.After(needs.Patience):
			t.Fatalf("never: %s\n%s", word, s.stderr)
		}
		write(t, configFile+"~", "x: [")
		if word != "stays in force" {
			if err := os.Rename(configFile+"~", configFile); err != nil {
				t.Fatal(err)
			}
		}
	}
	client := live.NewClient(socket)
	defer client.Close()
	set := map[string]bool{}
	var last *metrics.Snapshot
	unset := func() (paths []string) {
		for path, is := range set {
			if !is && !excused(path) {
				paths = append(paths, path)
			}
		}
		return paths
	}
	// Some of it comes with time, such as the events of a recording.
	snapshots := 0
	needs.Within(needs.Patience, func() bool {
		snapshots++
		snapshot, err := client.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		checkSums(t, snapshot)
		noteSet(set, reflect.ValueOf(*snapshot), "")
		last = snapshot
		run(t, "true")
		return snapshots >= 20 && len(unset()) == 0
	})
	for _, path := range unset() {
		t.Errorf("%s is never set", path)
	}
	if t.Failed() {
		text, _ := json.MarshalIndent(last, "", " ")
		t.Logf("%s", text)
	}
	served := get(t, fmt.Sprintf("http://127.0.0.1:%d/metrics", port))
	text, err := os.ReadFile("../../docs/outputs.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile("`(peregrine_[a-z0-9_]+)").FindAllStringSubmatch(string(text), -1) {
		if !strings.Contains(served, "\n"+name[1]) && !strings.Contains(name[1], "container_runtime") && !strings.Contains(name[1], "audit") {
			t.Errorf("%s is documented and not served", name[1])
		}
	}
}

// checkSums checks the sums that a snapshot promises.
func checkSums(t *testing.T, s *metrics.Snapshot) {
	t.Helper()
	p := s.Probe
	if p.Seen != p.Filtered+p.Delivered+p.Drops.Total() {
		t.Errorf("seen %d is not filtered %d + delivered %d + dropped %d", p.Seen, p.Filtered, p.Delivered, p.Drops.Total())
	}
	if s.Events > p.Delivered {
		t.Errorf("%d events processed, %d delivered", s.Events, p.Delivered)
	}
	for _, c := range s.Channels {
		if c.Alerts != c.Sent+c.Queued+c.Dropped {
			t.Errorf("%s: alerts %d are not sent %d + queued %d + dropped %d", c.Name, c.Alerts, c.Sent, c.Queued, c.Dropped)
		}
		if c.Alerts != s.Alerts-s.Throttled+s.Internal {
			t.Errorf("%s: %d alerts; %d made, %d held back, %d internal", c.Name, c.Alerts, s.Alerts, s.Throttled, s.Internal)
		}
	}
}

// noteSet notes for each field of v whether it has a value.
func noteSet(set map[string]bool, v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			noteSet(set, v.Field(i), strings.TrimPrefix(path+"."+v.Type().Field(i).Name, "."))
		}
		return
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Struct {
			for i := range v.Len() {
				noteSet(set, v.Index(i), path+"[]")
			}
		}
	}
	set[path] = set[path] || !v.IsZero()
}

func excused(path string) bool {
	for ; path != ""; path = path[:max(0, strings.LastIndexByte(path, '.'))] {
		if unprovoked[path] != "" {
			return true
		}
	}
	return false
}
