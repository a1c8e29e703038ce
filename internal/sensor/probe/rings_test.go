package probe

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

func TestAllot(t *testing.T) {
	for _, tt := range []struct {
		groups, per int
		online      string
		want        []int
		rings       int
	}{
		{1, 0, "0-7", []int{0}, 1},
		{4, 1, "0-3", []int{0, 1, 2, 3}, 4},
		{4, 2, "0-7", []int{0, 1, 2, 3}, 4},
		{4, 2, "0,5", []int{0, 1, 1, 1}, 2}, // groups 1 and 3 have none
		{4, 2, "6", []int{0, 0, 0, 0}, 1},
		{3, 1, "9", []int{0, 0, 0}, 1}, // not possible, by the other list
	} {
		cpus, err := parseCPUs(tt.online + "\n")
		if err != nil {
			t.Fatal(err)
		}
		ring, rings := allot(tt.groups, tt.per, cpus)
		if !slices.Equal(ring, tt.want) || rings != tt.rings {
			t.Errorf("%d groups of %d, online %s: %v of %d, want %v of %d", tt.groups, tt.per, tt.online, ring, rings, tt.want, tt.rings)
		}
	}
	for _, text := range []string{"", "a", "1-", "-1", "1,,2"} {
		if cpus, err := parseCPUs(text); err == nil {
			t.Errorf("%q: %v, and no error", text, cpus)
		}
	}
}

// A CPU that was offline when the rings were made has its events delivered
// through another's ring.
func TestLateCPU(t *testing.T) {
	needBPF(t)
	p, err := Load(Options{CPUsPerRing: 1, Legacy: legacy(), online: []int{0}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if n := len(p.Reader().Fill()); n != 1 {
		t.Fatalf("%d rings for one CPU", n)
	}
	tr := traceWith(t, p, []string{"timerfd_settime"}, func() {
		var before, set unix.CPUSet
		if err := unix.SchedGetaffinity(0, &before); err != nil {
			t.Fatal(err)
		}
		for cpu := range 1024 { // the last one that is allowed
			if before.IsSet(cpu) {
				set.Zero()
				set.Set(cpu)
			}
		}
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			t.Fatal(err)
		}
		raw(unix.SYS_TIMERFD_SETTIME, 12345)
		if err := unix.SchedSetaffinity(0, &before); err != nil {
			t.Fatal(err)
		}
	})
	id, _ := event.SyscallByName("timerfd_settime")
	tr.one(id.Kind())
}
