package capture

import (
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// Some codes whose number is known from libs' headers: the table counts lines.
func TestCodes(t *testing.T) {
	for n, want := range map[int]string{
		2: "open", 5: "close", 23: "connect", 152: "switch", 186: "procexit", 223: "clone", 231: "execve",
		247: "accept", 265: "access", 293: "execve", 307: "openat", 327: "openat2", 390: "umount2", 397: "eventfd2",
		401: "prctl", 402: "asyncevent", 419: "newfstatat", 425: "delete_module",
	} {
		if got := codes[n].kind.String(); got != want {
			t.Errorf("code %d is %s, want %s", n, got, want)
		}
	}
	if len(codes) != 430 {
		t.Errorf("%d codes, want 430", len(codes))
	}
	if c := codes[codeOf[event.KindExecve]]; len(c.slots) != len(event.KindExecve.Info().Params) {
		t.Errorf("the newest execve has %d parameters", len(c.slots))
	}
	for k, want := range map[event.Kind]uint16{event.KindOpenat: 307, event.KindProcexit: 186, event.KindDup: 367, event.KindSyscall: 1,
		event.KindStat: 67, event.KindLseek: 87, event.KindMmap: 161, event.KindUmount2: 391, event.KindContainer: 324,
		event.KindAccept: 247, event.KindAccept4: 389, event.KindClone: 223, event.KindSelect: 83} {
		if codeOf[k] != want {
			t.Errorf("%s is written as %d, want %d", k, codeOf[k], want)
		}
	}
}

func TestSyscallNumbers(t *testing.T) {
	for n, want := range map[int]string{1: "restart_syscall", 3: "read", 100: "sched_get_priority_max", 197: "openat", 241: "socket", 300: "newfstatat", 324: "execve", 380: "rseq", 392: "close_range"} {
		if got := event.ID(sysIDs[n]).String(); got != want {
			t.Errorf("syscall %d is %s, want %s", n, got, want)
		}
	}
	unknown := 0
	for _, id := range sysIDs {
		if id == event.NoSyscall {
			unknown++
		}
	}
	t.Logf("%d of %d names are not in our table", unknown, len(sysIDs))
	for k := range event.NumKinds {
		if info := event.Kind(k).Info(); info.Origin == event.Syscall && event.Kind(k) != event.KindSyscall && kindSyscall[k] == event.NoSyscall {
			t.Errorf("kind %s has no syscall", info.Name)
		}
	}
}
