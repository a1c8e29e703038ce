package probe

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// Without the capabilities, one line says which is missing.
func TestCapabilityMissing(t *testing.T) {
	needBPF(t)
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		t.Fatal(err)
	}
	drop := func(bits ...uint) {
		d := data
		for _, b := range bits {
			d[b/32].Effective &^= 1 << (b % 32)
		}
		if err := unix.Capset(&header, &d[0]); err != nil {
			t.Fatal(err)
		}
	}
	defer drop()
	drop(unix.CAP_SYS_ADMIN)
	if err := checkCapabilities(); err != nil {
		t.Errorf("CAP_BPF and CAP_PERFMON are enough, but: %v", err)
	}
	drop(unix.CAP_SYS_ADMIN, unix.CAP_PERFMON)
	if _, err := Load(Options{}); err == nil || !strings.Contains(err.Error(), "CAP_PERFMON is missing") || strings.Contains(err.Error(), "\n") {
		t.Errorf("without CAP_PERFMON: %v", err)
	}
}

func TestBadOptions(t *testing.T) {
	for _, o := range []Options{{RingBytes: 1000}, {RingBytes: 3 * 4096}, {Snaplen: 5000}, {Snaplen: -1}} {
		if _, err := Load(o); err == nil || !strings.Contains(err.Error(), "expected") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// Close leaves no descriptor behind: links, programs, maps, mappings.
func TestClose(t *testing.T) {
	needBPF(t)
	descriptors := func() int {
		d, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(d)
	}
	load := func() {
		p, err := Load(Options{CPUsPerRing: 1, Legacy: legacy(), Interest: Interest{Syscalls: ids("openat", "connect")}})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Snapshot(func([]byte) {}); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	load() // what the libraries open once for all
	before := descriptors()
	load()
	if after := descriptors(); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// Every syscall that has a kind with parameters is served by a family, and no
// kind by two.
func TestFamilies(t *testing.T) {
	seen := map[event.Kind]family{}
	for f, ks := range kinds {
		if programs[f] == "" {
			t.Errorf("family %d has no program", f)
		}
		for _, k := range ks {
			if other, ok := seen[k]; ok {
				t.Errorf("%s is in families %d and %d", k, other, f)
			}
			seen[k] = f
		}
	}
	for id := range event.ID(event.NumSyscalls()) {
		if k := id.Kind(); k != event.KindSyscall && seen[k] == 0 {
			t.Errorf("%s (%s) is served by no family", id, k)
		}
	}
}
