package probe

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

// A loaded probe keeps neither its object nor the kernel's types, whose
// megabytes would be resident as long as the sensor runs, nor does one that has
// loaded further programs.
func TestLoadedProbeIsSmall(t *testing.T) {
	needBPF(t)
	load(t, Options{}) // what is kept once, such as what the kernel can do
	before := heapAlloc()
	p := load(t, Options{Interest: Interest{Syscalls: ids("openat")}})
	check := func(when string) {
		if grown := heapAlloc() - before; grown > 512<<10 {
			t.Errorf("%s: %d KiB of heap, want at most 512", when, grown>>10)
		}
	}
	check("loaded")
	programs := len(p.coll.Programs)
	setInterest(t, p, Interest{Syscalls: ids("openat", "connect", "kill")})
	if len(p.coll.Programs) <= programs {
		t.Errorf("%d programs before other calls are of interest, %d after", programs, len(p.coll.Programs))
	}
	check("with other calls")
	runtime.KeepAlive(p)
}

func heapAlloc() int64 {
	runtime.GC()
	runtime.GC() // also of what the first has finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// The objects are in read-only memory: the sensor gives back its pages, and must
// keep those that may have been written.
func TestObjectsAreReadOnly(t *testing.T) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range []string{directObject, legacyObject, oldestObject} {
		at, perms := uintptr(unsafe.Pointer(unsafe.StringData(object))), ""
		for line := range strings.Lines(string(maps)) {
			var from, to uintptr
			var p string
			if n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &p); n == 3 && from <= at && at < to {
				perms = p
			}
		}
		if perms != "r--p" {
			t.Errorf("an object of %d bytes is in memory of %q", len(object), perms)
		}
	}
}
