package procfs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tree makes a procfs of files.
func tree(t *testing.T, files map[string]string) Root {
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return Root(dir)
}

func TestMachine(t *testing.T) {
	r := tree(t, map[string]string{
		"sys/kernel/osrelease":      "6.1.0-18-amd64\n",
		"sys/kernel/random/boot_id": "4ddb\n",
		"cpuinfo":                   "processor\t: 0\nmodel name\t: Fast CPU\nflags\t\t: fpu hypervisor\n\nprocessor\t: 1\nmodel name\t: Slow CPU\n",
		"meminfo":                   "MemTotal:        2048 kB\n",
		"loadavg":                   "1.25 0.50 0.10 1/100 4711\n",
	})
	want := Machine{Kernel: "6.1.0-18-amd64", CPU: "Fast CPU", Virtual: true, Memory: 2 << 20, Load: 1.25}
	if diff := cmp.Diff(want, r.Machine()); diff != "" || r.BootID() != "4ddb" {
		t.Errorf("boot %q\n%s", r.BootID(), diff)
	}
	if got := tree(t, nil).Machine(); got != (Machine{}) {
		t.Errorf("nothing: %+v", got)
	}
}

// Processes are found by their whole name.
func TestNamed(t *testing.T) {
	r := tree(t, map[string]string{"20/comm": "falco\n", "12/comm": "falco\n", "13/comm": "falcosidekick\n", "self/comm": "falco\n", "14/stat": ""})
	pids, err := r.Named("falco")
	if diff := cmp.Diff([]int{12, 20}, pids); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if _, err := Root(filepath.Join(string(r), "none")).Named("falco"); err == nil {
		t.Error("there is no procfs, and no error")
	}
}

func TestSchedstat(t *testing.T) {
	r := tree(t, map[string]string{"7/task/7/schedstat": "1000 20 3\n", "7/task/8/schedstat": "500 4 1\n", "7/task/9/schedstat": ""})
	if ran, waited := r.Schedstat(7); ran != 1500*time.Nanosecond || waited != 24*time.Nanosecond {
		t.Errorf("ran %v, waited %v", ran, waited)
	}
}
