package probe

import (
	"os"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// The filter answers mkdirat with success and unlinkat with EPERM.
func init() {
	helpers["seccomp"] = func() {
		runtime.LockOSThread()
		filter := []unix.SockFilter{
			{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // nr of struct seccomp_data
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_MKDIRAT, Jf: 1},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO},
			{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_UNLINKAT, Jf: 1},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
			{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		}
		program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		raw(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		if raw(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, unsafe.Pointer(&program)) != 0 ||
			raw(unix.SYS_MKDIRAT, unix.AT_FDCWD, "/answered/by/seccomp", 0o755) != 0 ||
			raw(unix.SYS_UNLINKAT, unix.AT_FDCWD, "/refused/by/seccomp", 0) != -int64(unix.EPERM) {
			os.Exit(1)
		}
	}
}

// Calls that seccomp answers are seen at sys_exit, with the answer, and not by
// function, which docs/kernels.md says.
func TestSeccomp(t *testing.T) {
	var by Hooks
	cmd := helper("seccomp")
	tr := trace(t, []string{"mkdirat", "unlinkat"}, func() {
		p, _ := shared()
		by = p.Hooks().Hooks
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("seccomp does not answer as it should: %v: %s", err, out)
		}
	})
	for kind, res := range map[event.Kind]string{event.KindMkdirat: "0", event.KindUnlinkat: num(-int(unix.EPERM))} {
		all := tr.of(kind, cmd.Process.Pid)
		if want := map[Hooks]int{Tracepoint: 1, Functions: 0}[by]; len(all) != want {
			t.Errorf("%s is seen %d times by %s, want %d", kind, len(all), by, want)
		}
		for _, e := range all {
			if got := e.fields()["res"]; got != res {
				t.Errorf("%s has the result %s, want %s", kind, got, res)
			}
		}
	}
}
