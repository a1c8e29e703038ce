package action

import (
	"errors"
	"testing"
)

// In the sandbox, no directory is made in the root directory: only on the host
// itself, where it is removed again.
func TestAppliesWithoutTopDirectory(t *testing.T) {
	for _, tt := range []struct {
		touches string
		sandbox bool
		applies bool
	}{
		{"/peregrine-none/x", true, false},
		{"/peregrine-none/x", false, true},
		{"/etc/peregrine-none", true, true},
		{"/etc/passwd/none", true, true}, // a matter of the action
		{"/proc/version", true, true},
	} {
		a := &Action{Touches: []string{tt.touches}, Needs: Needs{Place: Anywhere}}
		err := a.Applies(Env{HostRoot: tt.sandbox})
		var skipped *SkipError
		if (err == nil) != tt.applies || err != nil && !errors.As(err, &skipped) {
			t.Errorf("%s in the sandbox %v: %v", tt.touches, tt.sandbox, err)
		}
	}
}
