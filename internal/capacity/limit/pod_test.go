package limit

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/capacity"
)

// The cgroups of pods, as the runtimes and the kubelet's two drivers name them.
func TestForPod(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	for name, dir := range map[string]string{
		"cgroupfs":       "kubepods/burstable/pod1/" + id,
		"guaranteed":     "kubepods/pod1/" + id,
		"containerd":     "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-" + id + ".scope",
		"CRI-O":          "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/crio-" + id + ".scope",
		"CRI-O, 1.30":    "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/crio-" + id + ".scope/container",
		"in a container": "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod1.slice/cri-containerd-" + id + ".scope",
	} {
		t.Run(name, func(t *testing.T) {
			limits := "sys/fs/cgroup/" + strings.TrimSuffix(dir, "/container") + "/"
			host := tree(t, map[string]string{
				"proc/self/mountinfo":                                         mountinfo2,
				"sys/fs/cgroup/cgroup.controllers":                            "cpu memory",
				"sys/fs/cgroup/aaa/crio-conmon-" + id + ".scope/cgroup.procs": "9",
				limits + "cgroup.procs":                                       "",
				limits + "cpu.max":                                            "50000 100000",
				limits + "memory.max":                                         "536870912",
				limits + "cpu.stat":                                           "usage_usec 7",
				"sys/fs/cgroup/" + dir + "/cgroup.procs":                      "20\n10\n30",
				"proc/10/stat":                                                stat(10, 1),
				"proc/20/stat":                                                stat(20, 10),
				"proc/30/stat":                                                stat(30, 20),
			})
			p, pid, err := ForPod(host, "containerd://"+id)
			if err != nil {
				t.Fatal(err)
			}
			if pid != 10 {
				t.Errorf("process %d, want the one that the others descend from", pid)
			}
			ctx := context.Background()
			check(t, p.Apply(ctx, capacity.Limit{CPU: 0.5, Memory: 512 << 20}))
			check(t, p.Apply(ctx, capacity.Limit{}))
			for _, l := range []capacity.Limit{{CPU: 0.4}, {CPU: 1}, {Memory: 256 << 20}, {Memory: 1 << 30}} {
				if err := p.Apply(ctx, l); err == nil || !strings.Contains(err.Error(), "the pod has another limit") {
					t.Errorf("%s: %v", l, err)
				}
			}
			if u, err := p.Usage(); err != nil || u.CPU != 7000 {
				t.Errorf("usage %+v, %v", u, err)
			}
			check(t, p.Restore(ctx))
		})
	}
}

func stat(pid, parent int) string {
	return fmt.Sprintf("%d (falco) S %d 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0 0", pid, parent) + strings.Repeat(" 0", 30)
}

func TestForPodErrors(t *testing.T) {
	id := strings.Repeat("ab", 32)
	host := tree(t, map[string]string{
		"proc/self/mountinfo":                        mountinfo2,
		"sys/fs/cgroup/cgroup.controllers":           "cpu memory",
		"sys/fs/cgroup/" + id + "/cgroup.procs":      "0",
		"sys/fs/cgroup/d" + id[1:] + "/cgroup.procs": "",
	})
	for given, want := range map[string]string{
		"":                       "expected its ID",
		"containerd://../../etc": "expected its ID",
		strings.Repeat("cd", 32): "has it ended",
		id:                       "set hostPID",
		"d" + id[1:]:             "none is left",
	} {
		if _, _, err := ForPod(host, given); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", given, err, want)
		}
	}
}
