package limit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	linuxcgroup "github.com/peregrine-sec/peregrine/internal/linux/cgroup"
	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

// pod is the cgroup of a container of a Kubernetes pod. The kubelet sets its
// limits: values written behind its back do not last.
type pod struct {
	cgroup
	id string
}

var _ Place = (*pod)(nil)

// ForPod is the place of a container of a pod, which is known by its ID of 64
// hexadecimal digits, and the ID of its process. The limits are those of the
// pod: Apply changes nothing, and checks that they are there.
func ForPod(host Host, id string) (Place, int, error) {
	if _, bare, ok := strings.Cut(id, "://"); ok { // "containerd://ID", as the API has it
		id = bare
	}
	if len(id) < 12 || strings.ContainsAny(id, "/*?[") {
		return nil, 0, fmt.Errorf("container %q: expected its ID, as in `kubectl get pod -o jsonpath={.status.containerStatuses[*].containerID}`", id)
	}
	trees, err := host.trees()
	if err != nil {
		return nil, 0, err
	}
	p := &pod{id: id, cgroup: cgroup{host: host, version: trees["cpu"].Version, dirs: map[string]string{}, before: map[string]string{}}}
	for controller, tree := range trees {
		if p.dirs[controller], err = find(tree.Dir, id); err != nil {
			return nil, 0, err
		}
	}
	pid, err := host.first(p.dirs["memory"])
	if err != nil {
		return nil, 0, fmt.Errorf("process of container %s: %w", id[:12], err)
	}
	return p, pid, nil
}

// find looks for the cgroup of a container below dir. Its name has the ID in it,
// whatever the runtime and the cgroup driver add: "ID", "cri-containerd-ID.scope",
// "crio-ID.scope". CRI-O has another one of the container's monitor beside it.
func find(dir, id string) (string, error) {
	var found string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // ended meanwhile
			return nil
		case err != nil:
			return err
		case !entry.IsDir():
			return nil
		case strings.Contains(entry.Name(), id) && !strings.Contains(entry.Name(), "conmon"):
			found = path
			return fs.SkipAll
		}
		return nil
	})
	if err == nil && found == "" {
		err = fmt.Errorf("no cgroup below %s belongs to container %s: has it ended, or does this pod lack hostPath /sys/fs/cgroup?", dir, id[:min(12, len(id))])
	}
	return found, err
}

// first is the process of a cgroup, or of those below it, that the others
// descend from.
func (h Host) first(dir string) (int, error) {
	in := map[int]bool{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() != "cgroup.procs" {
			return err
		}
		text, err := linuxcgroup.Read(path)
		for field := range strings.FieldsSeq(text) {
			pid, _ := strconv.Atoi(field)
			in[pid] = true
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	if in[0] {
		return 0, errors.New("it is in a process namespace that this one cannot see: set hostPID")
	}
	proc := procfs.Root(h.path("proc"))
	for pid := range in {
		if s, err := proc.Stat(pid); err == nil && !in[int(s.PPID)] {
			return pid, nil
		}
	}
	return 0, fmt.Errorf("none is left: %w", os.ErrProcessDone)
}

// Apply checks that the kubelet has set the limit.
func (p *pod) Apply(_ context.Context, l capacity.Limit) error {
	if err := p.fits(l); err != nil {
		return err
	}
	has := capacity.Limit{CPU: p.cpuOf(p.dirs["cpu"]), Memory: p.memoryOf(p.dirs["memory"])}
	// The systemd driver rounds a quota up to whole percents of a CPU, and the
	// kernel memory down to whole pages.
	cpu := l.CPU == 0 || has.CPU > 0 && math.Abs(has.CPU-l.CPU) < 0.0101
	memory := l.Memory == 0 || has.Memory <= l.Memory && l.Memory-has.Memory <= largestPage
	if !cpu || !memory {
		return fmt.Errorf("limit to %s: the cgroup of container %s has %s: the pod has another limit, or the kubelet has not set it yet", l, p.id[:12], has)
	}
	return nil
}

// largestPage is that of arm64 and ppc64 kernels with 64 KiB pages.
const largestPage = 64 << 10

// Restore has nothing to put back.
func (p *pod) Restore(context.Context) error { return nil }

func (p *pod) String() string { return "pod, " + p.cgroup.String() }
