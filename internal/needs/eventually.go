package needs

import (
	"testing"
	"time"
)

// patience bounds Eventually: a loaded machine may need many seconds.
const patience = 60 * time.Second

// Eventually waits until ok holds. It polls: use it only where neither a channel
// nor the kernel signals the change.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
