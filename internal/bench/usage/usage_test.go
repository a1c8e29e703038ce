package usage

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	linuxcgroup "github.com/peregrine-sec/peregrine/internal/linux/cgroup"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func TestSummarize(t *testing.T) {
	begin := time.Unix(100, 0)
	var samples []sample
	// 2 s of a process that idles in the first second and then takes a full
	// CPU, three quarters of it in the kernel.
	for i := range 21 {
		busy := time.Duration(max(0, i-10)) * 100 * time.Millisecond
		s := sample{at: begin.Add(time.Duration(i) * interval), user: busy / 4, system: busy * 3 / 4,
			rss: uint64(1000 + i), virtual: 9, cgroup: linuxcgroup.Usage{Throttled: time.Duration(i) * 7, ThrottledPeriods: uint64(i), Memory: uint64(2000 + i)}}
		if i%costlyEvery == 0 {
			s.pss, s.waited = uint64(500+i), time.Duration(1000+i*50)*time.Millisecond
		}
		samples = append(samples, s)
	}
	want := Window{Samples: 21, Seconds: 2, User: 0.125, System: 0.375, CPU: 0.5, CPUPeak: 1, Waited: 0.5,
		Throttled: 140, Throttles: 20, CgroupMean: 2010, CgroupPeak: 2020,
		RSSMean: 1010, RSSPeak: 1020, RSSFirst: 1000, RSSLast: 1020, PSSPeak: 520, Virtual: 9}
	if diff := cmp.Diff(want, summarize(samples), cmpopts.EquateApprox(1e-9, 0)); diff != "" {
		t.Error(diff)
	}
	if w := summarize(samples[:1]); w.CPU != 0 || w.Samples != 1 {
		t.Errorf("one sample: %+v", w)
	}
}

func TestBetween(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	var samples []sample
	for i := range 10 {
		samples = append(samples, sample{at: at(i), self: time.Duration(i) * time.Second / 4,
			host: procfs.CPU{Total: uint64(i * 100), Idle: uint64(i * 25), Steal: uint64(i * 10)}})
	}
	in := between(samples, at(3), at(6))
	if len(in) != 4 || !in[0].at.Equal(at(3)) || !in[3].at.Equal(at(6)) {
		t.Errorf("%d samples from %v", len(in), in[0].at)
	}
	if all := between(samples, at(100), at(101)); len(all) != 10 {
		t.Errorf("%d samples of a window without any, want all", len(all))
	}
	n := float64(runtime.NumCPU())
	if h := summarizeHost(in); h.Self != 0.25 || math.Abs(h.Idle-n/4) > 1e-9 || math.Abs(h.Steal-n/10) > 1e-9 {
		t.Errorf("%+v", h)
	}
}

func TestParse(t *testing.T) {
	stat := `42 (a) S b) R 1 42 42 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 1 0 777 8192 3 18446744073709551615 1 1`
	s, start, err := parseSample([]byte(stat))
	if err != nil || s.user != 1500*time.Millisecond || s.system != 500*time.Millisecond || s.virtual != 8192 || s.rss != 3*uint64(os.Getpagesize()) || start != 777 {
		t.Errorf("%+v, start %d, %v", s, start, err)
	}
	for _, bad := range []string{"", "42 (x", "42 (x) Z 1 42 42 0 -1 4194304 100 0 0 0 150 50 0 0 20 0 1 0 777 8192 3"} {
		if _, _, err := parseSample([]byte(bad)); err == nil {
			t.Errorf("parseSample(%q) succeeded", bad)
		}
	}
}

// fixture is a /proc and cgroup file system as files.
func fixture(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestCgroups(t *testing.T) {
	v2 := fixture(t, map[string]string{
		"proc/7/cgroup":                    "0::/a/b\n",
		"proc/self/mountinfo":              "30 24 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
		"sys/fs/cgroup/cgroup.controllers": "cpu memory\n",
		"sys/fs/cgroup/a/b/cpu.stat":       "usage_usec 5\nnr_periods 9\nnr_throttled 3\nthrottled_usec 41\n",
		"sys/fs/cgroup/a/b/memory.current": "4096\n",
		"sys/fs/cgroup/a/b/memory.events":  "low 0\nmax 3\noom 1\noom_kill 2\n",
	})
	v1 := fixture(t, map[string]string{
		"proc/7/cgroup": "4:memory:/m\n3:cpu,cpuacct:/c\n1:name=systemd:/\n0::/\n",
		"proc/self/mountinfo": "30 24 0:26 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n31 24 0:27 / /cg/mem rw - cgroup cgroup rw,memory\n" +
			"32 24 0:28 / /cg/unified rw - cgroup2 cgroup2 rw\n",
		"cg/cpu/c/cpu.stat":              "nr_periods 9\nnr_throttled 3\nthrottled_time 41000\n",
		"cg/mem/m/memory.usage_in_bytes": "4096\n",
		"cg/mem/m/memory.oom_control":    "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
		"cg/unified/cpu.stat":            "usage_usec 1\n",
	})
	want := linuxcgroup.Usage{Periods: 9, Throttled: 41000, ThrottledPeriods: 3, Memory: 4096, MemoryPeak: 4096, OOMKills: 2}
	for name, root := range map[string]string{"v1": v1, "v2": v2} {
		c := findCgroup(root, 7)
		got := c.read()
		if got.CPU, got.MemoryHits = 0, 0; got != want { // the fixtures differ in these
			t.Errorf("%s: %+v of %+v, want %+v", name, got, c, want)
		}
		none := findCgroup(root, 8)
		if got := none.read(); got != (linuxcgroup.Usage{}) {
			t.Errorf("%s: %+v of no process", name, got)
		}
	}
}

// TestRealProcess watches a real process that works, and then one that ends.
func TestRealProcess(t *testing.T) {
	cmd := exec.Command("sh", "-c", "while :; do :; done")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	w, err := Start(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	needs.Eventually(t, "it uses CPU", func() bool {
		s, err := w.process.read(false)
		if err != nil {
			t.Fatal(err)
		}
		_, waited := procfs.Host.Schedstat(cmd.Process.Pid)
		return s.user+s.system >= 50*time.Millisecond && waited > 0
	})
	cmd.Process.Kill()
	cmd.Wait()
	window, host := w.Stop(time.Time{}, time.Time{})
	if !window.Gone || window.PSSPeak == 0 || window.Virtual == 0 {
		t.Errorf("window %+v: want memory, and the end seen", window)
	}
	if host.CPUs == 0 || host.Self < 0 || host.Idle < 0 || host.Idle > float64(host.CPUs) {
		t.Errorf("host %+v", host)
	}
	if _, err := Start(cmd.Process.Pid); err == nil {
		t.Error("watching a process that is gone succeeded")
	}
	alone, err := Start(0)
	if err != nil {
		t.Fatal(err)
	}
	if window, _ := alone.Stop(time.Time{}, time.Time{}); window != nil {
		t.Errorf("%+v of no process", window)
	}
}
