package run

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

// Idle time is that between two looks, of all CPUs; without it, nothing is said.
func TestIdle(t *testing.T) {
	looks := func(list ...procfs.CPU) func() (procfs.CPU, error) {
		return func() (procfs.CPU, error) {
			if len(list) == 0 {
				return procfs.CPU{}, errors.New("no more")
			}
			look := list[0]
			list = list[1:]
			return look, nil
		}
	}
	if got := idle(t.Context(), 2, 1, looks(procfs.CPU{Total: 1000, Idle: 500}, procfs.CPU{Total: 1200, Idle: 650})); got == nil || *got != 1.5 {
		t.Errorf("%v, want 1.5 of 2 CPUs", got)
	}
	ended, stop := context.WithCancel(t.Context())
	stop()
	for name, got := range map[string]*float64{
		"no look":  idle(t.Context(), 2, 1, looks()),
		"one look": idle(t.Context(), 2, 1, looks(procfs.CPU{Total: 1})),
		"no tick":  idle(t.Context(), 2, 1, looks(procfs.CPU{Total: 1}, procfs.CPU{Total: 1})),
		"stopped":  idle(ended, 2, time.Minute, looks(procfs.CPU{Total: 1}, procfs.CPU{Total: 2})),
	} {
		if got != nil {
			t.Errorf("%s: %g", name, *got)
		}
	}
}
