package leaks

import (
	"testing"
)

// told is a test that records its failure.
type told struct {
	testing.TB
	failed bool
}

func (t *told) Helper()               {}
func (t *told) Errorf(string, ...any) { t.failed = true }

var kept []byte

func TestWithin(t *testing.T) {
	for size, want := range map[int]bool{1 << 10: false, 8 << 20: true} {
		test := &told{TB: t}
		Within(test, 4<<20, func() { kept = make([]byte, size) })
		if test.failed != want {
			t.Errorf("%d bytes: failed %v, want %v", size, test.failed, want)
		}
	}
}
