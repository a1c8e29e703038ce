package needs

import (
	"testing"
	"time"
)

// Patience is how long a test waits before it fails: a loaded machine may need
// many seconds.
const Patience = 60 * time.Second

// Eventually waits until ok holds. It polls: use it only where neither a channel
// nor the kernel signals the change.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", Patience, what)
		}
	}
}
