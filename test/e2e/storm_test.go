package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

const (
	stormLoops = 4
	// Once every stormExecEvery subshells a loop starts a program, which opens a
	// file named after its own pid: proof that an alert's proc.pid is right.
	stormExecEvery = 50
)

// Processes that live for a fraction of a millisecond: every alert names the
// process and its parent, none is missing without being counted, and nothing
// of them stays in memory.
func TestForkStorm(t *testing.T) {
	requireBPF(t)
	each := 25000
	if testing.Short() {
		each = 1000
	}
	dir := t.TempDir()
	metrics := filepath.Join(dir, "metrics.json")
	rules := filepath.Join(dir, "rules.yaml")
	write(t, filepath.Join(dir, "marker"), "")
	write(t, rules, fmt.Sprintf(`
- rule: Marker
  desc: a process of the storm
  condition: evt.type in (open, openat, openat2) and fd.name startswith %s/marker
  output: "file=%%fd.name"
  priority: INFO
`, dir))
	s := startSensor(t, "-r", rules,
		"-o", "metrics={enabled: true, interval: 200ms, output_rule: false, output_file: "+metrics+", resource_utilization_enabled: true, state_counters_enabled: true, kernel_event_counters_enabled: true}",
		"-o", "json_include_output_property=false",
		"-o", "append_output[].extra_fields=[proc.name, proc.pname, proc.pid, proc.ppid, fd.name]")

	blow(t, dir, "warm", each/10) // afterwards the process table and Go's heap have their size for the load
	s.settle(t, metrics)
	before, rssBefore := s.settle(t, metrics), s.rss(t)
	parents := blow(t, dir, "storm", each)
	after, rssAfter := s.settle(t, metrics), s.rss(t)

	total := 0
	forks, pids := map[string]int{}, map[float64]bool{}
	offset := s.eachAlert(0, func(a alert) {
		name, _ := a.Fields["proc.pname"].(string)
		parent, ours := parents[name]
		if !ours {
			if comm, _ := a.Fields["proc.name"].(string); !strings.HasPrefix(comm, "warm") && !strings.HasPrefix(name, "warm") {
				t.Errorf("alert about %v", a.Fields)
			}
			return
		}
		total++
		if err := a.isOfStorm(dir, name, parent); err != nil {
			t.Error(err)
		}
		forks[name]++
		pids[a.Fields["proc.pid"].(float64)] = true
	})
	if offset == 0 {
		t.Fatal("no alerts")
	}
	want := stormLoops * each
	lost := int(after.Drops-before.Drops) + int(after.QueueDrops-before.QueueDrops)
	if total > want || total+lost < want {
		t.Errorf("%d alerts for %d processes, %d events counted as dropped", total, want, lost)
	}
	if total < want*9/10 {
		t.Errorf("only %d alerts for %d processes: %d dropped", total, want, lost)
	}
	if len(pids) < min(total, 30000)*9/10 { // pids come round, at the earliest after 32768
		t.Errorf("%d different processes in %d alerts", len(pids), total)
	}
	if grown := after.Threads - before.Threads; grown > 500 { // others come and go on this host
		t.Errorf("%d more threads in the table after the storm (%d before)", grown, before.Threads)
	}
	if grown := rssAfter - rssBefore; grown > 24<<20 {
		t.Errorf("resident memory grew by %d KiB, from %d", grown>>10, rssBefore>>10)
	}
	t.Logf("%d processes, %d alerts, %d dropped; threads in the table %d -> %d, resident %d -> %d KiB",
		want, total, lost, before.Threads, after.Threads, rssBefore>>10, rssAfter>>10)
}

// isOfStorm returns the errors in an alert of one of the loops.
func (a alert) isOfStorm(dir, loop string, parent int) error {
	pid, ppid := int(a.Fields["proc.pid"].(float64)), int(a.Fields["proc.ppid"].(float64))
	file, name := a.Fields["fd.name"].(string), a.Fields["proc.name"].(string)
	wantName := loop
	if own, ok := strings.CutPrefix(file, dir+"/marker."); ok {
		wantName = "dash"
		if own != strconv.Itoa(pid) {
			return fmt.Errorf("process %s opened %s, its alert says proc.pid=%d", own, file, pid)
		}
	} else if file != dir+"/marker" {
		return fmt.Errorf("fd.name=%s", file)
	}
	if name != wantName || ppid != parent || pid == parent {
		return fmt.Errorf("proc.name=%s proc.pid=%d proc.ppid=%d for a child of %s, which is %d", name, pid, ppid, loop, parent)
	}
	return nil
}

// blow runs the loops, each under a name of its own, and returns their pids by
// name.
func blow(t *testing.T, dir, name string, each int) map[string]int {
	t.Helper()
	dash := needs.Program(t, "dash")
	script := fmt.Sprintf(`i=0; while [ $i -lt %d ]; do i=$((i+1))
if [ $((i %% %d)) -eq 0 ]; then dash -c ': > marker.$$; exit'; else (: < marker); fi; done`, each, stormExecEvery)
	parents := map[string]int{}
	var wait sync.WaitGroup
	for i := range stormLoops {
		loop := filepath.Join(t.TempDir(), fmt.Sprint(name, i))
		if err := os.Symlink(dash, loop); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(loop, "-c", script)
		cmd.Dir = dir
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		parents[filepath.Base(loop)] = cmd.Process.Pid
		wait.Go(func() {
			if err := cmd.Wait(); err != nil {
				t.Errorf("%s: %v", loop, err)
			}
		})
	}
	wait.Wait()
	return parents
}

// counters are those of a metrics snapshot that matter here.
type counters struct {
	Threads    int64  `json:"falco.n_threads"`
	Events     int64  `json:"falco.num_evts"`
	Drops      uint64 `json:"scap.n_drops"`
	QueueDrops uint64 `json:"falco.outputs_queue_num_drops"`
}

// settle waits until two snapshots in a row were taken after this call with
// no alert in between, and returns the last.
func (s *sensor) settle(t *testing.T, file string) (last counters) {
	t.Helper()
	size := func() int64 {
		info, err := os.Stat(s.alerts)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	start, alerts := len(snapshots(t, file)), size()
	needs.Eventually(t, "quiet sensor", func() bool {
		all := snapshots(t, file)
		if now := size(); now != alerts {
			start, alerts = len(all), now
			return false
		}
		if len(all) < start+3 {
			return false
		}
		last = all[len(all)-1]
		return true
	})
	return last
}

func snapshots(t *testing.T, file string) []counters {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		return nil // the first is still to come
	}
	var all []counters
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct {
			Fields counters `json:"output_fields"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err == nil { // the last may be incomplete
			all = append(all, line.Fields)
		}
	}
	return all
}

// rss is the sensor's resident memory in bytes.
func (s *sensor) rss(t *testing.T) int64 {
	t.Helper()
	for line := range strings.Lines(read(t, fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			var kib int64
			if _, err := fmt.Sscan(value, &kib); err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}
