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
	if !Within(Patience, ok) {
		t.Fatalf("not within %v: %s", Patience, what)
	}
}

// Within is Eventually with a limit of its own, for callers that can say more
// about a failure. It is false if ok does not hold in time.
func Within(limit time.Duration, ok func() bool) bool {
	for end := time.Now().Add(limit); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}
