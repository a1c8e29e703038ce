package leaks

import (
	"runtime/metrics"
	"testing"
)

// Within fails a test in which do allocates more than most bytes. The sum counts
// memory that is freed meanwhile, so it is at least the peak.
func Within(t testing.TB, most uint64, do func()) {
	t.Helper()
	before := allocated()
	do()
	if took := allocated() - before; took > most {
		t.Errorf("%d MiB allocated, want at most %d", took>>20, most>>20)
	}
}

// allocated is the sum of all allocations of this process so far, in bytes.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
