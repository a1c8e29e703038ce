package metrics

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

var update = flag.Bool("update", false, "rewrite golden files")

// sample is a snapshot with something everywhere.
func sample() *Snapshot {
	return &Snapshot{
		Time: 1_800_000_010e9, Start: 1_800_000_000e9, Elapsed: 10e9, Reload: 1_800_000_005e9, Version: "1.2.3", EngineVersion: "0.62.0",
		Source: "syscall", EngineName: "modern_bpf",
		Host:       Host{Name: "h", KernelRelease: "6.1", BootTime: 1_799_000_000e9, CPUs: 2, Interfaces: []Interface{{Name: "eth0", IPv4: []string{"10.0.0.1", "10.0.0.2"}}}},
		RulesFiles: []FileSum{{Name: "/etc/falco/falco_rules.yaml", SHA256: "ab"}}, ConfigFiles: []FileSum{{Name: "/etc/falco/falco.yaml", SHA256: "cd"}},
		Events: 900, Alerts: 7, Throttled: 1,
		Metadata:   Metadata{Known: 2, Imageless: 1, Waited: 4, Cut: 1, Runtimes: []Runtime{{Engine: "cri", Socket: "/run/crio/crio.sock", Present: true, Connected: true, Connects: 1, Told: 2}}},
		Recordings: Recordings{Files: 3, Events: 50, Missed: 2, Limited: 1},
		Probe: Probe{Seen: 2000, Filtered: 1000, Delivered: 900, Unread: 12, Untranslated: 3, Drops: event.Drops{
			event.DropBuffer: {event.LostOpen: 90, event.LostOtherInterest: 5}, event.DropScratch: {event.LostOpen: 3}, event.DropPageFault: {event.LostOpen: 2},
		},
			PerCPU: []CPU{{1500, 100}, {500, 0}}},
		State:     State{Threads: 100, Added: 150, Removed: 50, Lookups: 890, Fetched: 4, Failed: 1, Containers: 3},
		Rules:     []Rule{{Name: "Read sensitive file (untrusted)", Priority: 4, Source: "syscall", Tags: []string{"host", "T1555"}, Matches: 6, Evaluations: 60}, {Name: "Never", Priority: 5, Source: "syscall"}},
		Channels:  []Channel{{Name: "stdout", Alerts: 7, Sent: 5, Queued: 1, Dropped: 1, Overflow: 1, Capacity: 10, Latency: Latency{Counts: []uint64{0, 1, 4}, Sum: time.Millisecond}}},
		Resources: Resources{CPUTime: 2 * time.Second, Uptime: 20 * time.Second, RSS: 50 << 20, VSZ: 1 << 30, PSS: 40 << 20, HostCPU: .25, HostMemory: 3 << 30, HostProcs: 2, HostOpenFDs: 1000},
		Programs:  []Program{{Name: "sys_exit", Runs: 10, Time: 1000}},
		Rings:     []Ring{{Size: 8 << 20, Used: 1 << 20, MaxUsed: 2 << 20}},
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got); -update rewrites\n%s", name, diff)
	}
}

func TestFields(t *testing.T) {
	all := config.Default().Metrics
	all.PerCPU, all.LibbpfStats = true, true
	got, err := json.MarshalIndent(asMap(Fields(sample(), nil, all)), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "fields.json", append(got, '\n'))
}

func value(t *testing.T, fields []alert.Field, name string) alert.Value {
	t.Helper()
	for _, f := range fields {
		if f.Name == name {
			return f.Value
		}
	}
	t.Fatalf("no field %s", name)
	return alert.Value{}
}

func TestFieldsRates(t *testing.T) {
	prev, now := sample(), sample()
	now.Elapsed += 4 * time.Second
	now.Time -= 3600e9 // the clock was set back
	now.Events += 1000
	now.Probe.Seen += 3000
	now.Probe.Drops[event.DropBuffer][event.LostOpen] += 30
	now.Resources.CPUTime += time.Second
	fields := Fields(now, prev, config.Default().Metrics)
	for name, want := range map[string]float64{
		"falco.evts_rate_sec": 250, "scap.evts_rate_sec": 750, "scap.evts_drop_rate_sec": 7.5, "scap.n_drops_perc": 1, "falco.cpu_usage_perc": 25,
	} {
		if got := value(t, fields, name).Dbl; got != want {
			t.Errorf("%s = %g, want %g", name, got, want)
		}
	}
}

func TestFieldsChoice(t *testing.T) {
	names := func(c config.Metrics) string {
		var b strings.Builder
		for _, f := range Fields(sample(), nil, c) {
			b.WriteString(f.Name + "\n")
		}
		return b.String()
	}
	few := names(config.Metrics{})
	for _, prefix := range []string{"falco.rules.", "falco.memory", "falco.n_threads", "scap.n_evts"} {
		if strings.Contains(few, prefix) {
			t.Errorf("%s is there without being asked for", prefix)
		}
	}
	kb := names(config.Metrics{Resources: true})
	empty := names(config.Metrics{Rules: true, IncludeEmpty: true})
	if !strings.Contains(kb, "falco.memory_rss_kb") || strings.Contains(kb, "container_memory") || !strings.Contains(empty, "falco.rules.Never") {
		t.Errorf("units or zeros are wrong:\n%s%s", kb, empty)
	}
}

func TestPublisher(t *testing.T) {
	c := config.Default().Metrics
	c.OutputFile = filepath.Join(t.TempDir(), "stats")
	var sent []alert.Message
	p := NewPublisher(c, nil, func(m alert.Message) { sent = append(sent, m) })
	for range 2 {
		if err := p.Publish(*sample()); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(c.OutputFile)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	var line struct {
		Fields map[string]any `json:"output_fields"`
		Sample int            `json:"sample"`
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &line); err != nil {
		t.Fatal(err)
	}
	if len(lines) != 2 || line.Sample != 2 || line.Fields["scap.n_evts"] != 2000.0 || line.Fields["evt.source"] != "syscall" {
		t.Errorf("%d lines, the last: %+v", len(lines), line)
	}
	if len(sent) != 2 || sent[0].Rule != "Falco internal: metrics snapshot" || sent[0].Text != "Falco metrics snapshot" || len(sent[0].Fields) < 20 {
		t.Errorf("sent %+v", sent)
	}
	c.OutputFile = "/nonexistent/x"
	if err := NewPublisher(c, nil, func(alert.Message) {}).Publish(*sample()); err == nil || !strings.Contains(err.Error(), "metrics.output_file") {
		t.Errorf("error %v", err)
	}
}

func TestPublisherRun(t *testing.T) {
	c := config.Default().Metrics
	c.Interval = config.Interval(time.Millisecond)
	calls, boom := 0, errors.New("boom")
	p := NewPublisher(c, func() (Snapshot, error) {
		if calls++; calls == 3 {
			return Snapshot{}, boom
		}
		return *sample(), nil
	}, func(alert.Message) {})
	if err := p.Run(t.Context(), func(err error) {
		if err != nil {
			t.Error(err)
		}
	}); !errors.Is(err, boom) || p.sample != 2 {
		t.Errorf("error %v after %d samples", err, p.sample)
	}
}

func TestHistogram(t *testing.T) {
	var h Histogram
	if got := h.Read().Quantile(.5); got != 0 {
		t.Errorf("empty: %v", got)
	}
	h.Observe(100*time.Microsecond, 50) // on the bound: in the bucket
	h.Observe(3*time.Millisecond, 49)
	h.Observe(time.Hour, 1)
	l := h.Read()
	for q, want := range map[float64]time.Duration{0: 100 * time.Microsecond, .5: 100 * time.Microsecond, .51: 5 * time.Millisecond, .99: 5 * time.Millisecond, 1: time.Minute} {
		if got := l.Quantile(q); got != want {
			t.Errorf("quantile %g = %v, want %v", q, got, want)
		}
	}
	if l.Total() != 100 || l.Sum != 5*time.Millisecond+147*time.Millisecond+time.Hour {
		t.Errorf("total %d sum %v", l.Total(), l.Sum)
	}
}

func TestReadResources(t *testing.T) {
	r := ReadResources("/proc")
	if r.RSS == 0 || r.VSZ < r.RSS || r.PSS == 0 || r.HostMemory == 0 || r.HostProcs == 0 || r.HostOpenFDs == 0 || r.Uptime <= 0 || r.Uptime > 24*time.Hour || r.HostCPU <= 0 || r.HostCPU > 1 {
		t.Errorf("%+v", r)
	}
	if got := ReadResources(t.TempDir()); got.RSS != 0 || got.Goroutines == 0 {
		t.Errorf("without /proc: %+v", got)
	}
	if h := ReadHost("x"); h.KernelRelease == "" || h.CPUs == 0 || h.BootTime == 0 {
		t.Errorf("%+v", h)
	}
}
