package sensor

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics/live"
)

// manyRules are rules with as many names, paths, ports and arguments.
func manyRules(n int) string {
	var b strings.Builder
	for i := range n {
		condition := [...]string{
			"evt.type in (open, openat, openat2) and fd.name startswith /srv/app%[1]d/ and proc.name != tool%[1]d",
			`evt.type in (execve, execveat) and proc.name = tool%[1]d and proc.cmdline contains "--flag%[1]d"`,
			"evt.type = connect and fd.sport = %[1]d and proc.name in (tool%[1]d, other%[1]d)",
			"evt.type in (unlink, unlinkat, rename, renameat2) and fs.path.name endswith .ext%[1]d",
		}[i%4]
		fmt.Fprintf(&b, "- rule: Rule %[1]d\n  desc: d\n  condition: "+condition+"\n  output: o %%proc.cmdline\n  priority: INFO\n", i)
	}
	return b.String()
}

// heapOf10000 bounds the heap with ten thousand rules, in MiB: what each takes
// should be some KiB.
const heapOf10000 = 160

// Ten thousand rules are loaded and match; what does not fit into the kernel's
// tables is decided in user space, and the log and the counters say so.
func TestTenThousandRules(t *testing.T) {
	requireBPF(t)
	if testing.Short() {
		t.Skip("takes half a minute, and minutes under the race detector")
	}
	dir := t.TempDir()
	rules, configFile, socket := filepath.Join(dir, "rules.yaml"), filepath.Join(dir, "c.yaml"), filepath.Join(dir, "socket")
	write(t, rules, manyRules(10_000))
	write(t, configFile, fmt.Sprintf("watch_config_files: false\nrules_files: [%s]\njson_output: true\nstdout_output: {enabled: true}\nperegrine: {status_socket: %s}\n", rules, socket))
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	s := startWith(t, func() (*config.Config, error) { return config.Load(config.Options{Path: configFile}) })
	if took := (heap() - before) >> 20; took > heapOf10000 {
		t.Errorf("ten thousand rules take %d MiB of heap, more than %d", took, heapOf10000)
	} else {
		t.Logf("%d MiB of heap", took)
	}
	if !strings.Contains(s.stderr.String(), "the kernel sends every open, which costs more") {
		t.Errorf("the log does not say that opens are not filtered:\n%s", s.stderr)
	}
	client := live.NewClient(socket)
	defer client.Close()
	snapshot, err := client.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if snapshot.Probe.OpenFilter || len(snapshot.Rules) != 10_000 {
		t.Errorf("open filter %v, %d rules", snapshot.Probe.OpenFilter, len(snapshot.Rules))
	}
	marker := filepath.Join(dir, "marker.ext9999")
	s.provoke("of the last rule", func() {
		if os.WriteFile(marker, nil, 0o600) == nil {
			os.Remove(marker)
		}
	}, func(a alertLine) bool { return a.Rule == "Rule 9999" })
}
