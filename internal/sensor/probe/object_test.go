package probe

import (
	"runtime"
	"testing"
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
