package probe

import (
	"errors"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

func TestFunctionsOf(t *testing.T) {
	kernel := setOf(`__x64_sys_openat __ia32_compat_sys_openat __ia32_sys_openat __do_sys_getpid __x64_sys_umount
		__ia32_sys_umount __ia32_sys_oldumount __x64_sys_setuid __ia32_sys_setuid __ia32_sys_setuid16
		__x64_sys_sendfile64 __ia32_compat_sys_sendfile __x64_sys_clone __ia32_compat_sys_ia32_clone
		__ia32_sys_clone __x64_sys_accept __ia32_compat_sys_execve __ia32_compat_sys_socketcall __x64_sys_process_vm_readv __ia32_compat_sys_process_vm_readv
		__ia32_sys_process_vm_readv __do_sys_munlockall __x64_sys_munlockall __ia32_sys_munlockall`)
	for _, tc := range []struct{ syscalls, names, unknown string }{
		{"", "", ""},
		{"openat", "__x64_sys_openat __ia32_compat_sys_openat", ""},
		{"getpid", "__do_sys_getpid", ""},                                                 // without arguments: one for both
		{"munlockall", "__do_sys_munlockall", ""},                                         // whatever its other names
		{"umount2", "__x64_sys_umount __ia32_sys_umount", ""},                             // named otherwise
		{"umount", "__ia32_sys_oldumount", ""},                                            // i386 alone
		{"setuid", "__x64_sys_setuid __ia32_sys_setuid16", ""},                            // i386's old one has 16 bits
		{"setuid32", "__ia32_sys_setuid", ""},                                             // and its new one the name
		{"setuid setuid32", "__x64_sys_setuid __ia32_sys_setuid16 __ia32_sys_setuid", ""}, //
		{"sendfile", "__x64_sys_sendfile64 __ia32_compat_sys_sendfile", ""},               //
		{"clone", "__x64_sys_clone __ia32_compat_sys_ia32_clone", ""},                     //
		{"accept", "__x64_sys_accept", ""},                                                // i386 has none
		{"process_vm_readv", "__x64_sys_process_vm_readv __ia32_compat_sys_process_vm_readv __ia32_sys_process_vm_readv", ""},
		{"fchmodat2", "", ""},                                                                                                 // the kernel is older
		{"vserver", "", ""},                                                                                                   // a number that is not in use
		{"openat mount", "__x64_sys_openat __ia32_compat_sys_openat", "mount"},                                                // one that should be there
		{"openat openat umount2 umount2", "__x64_sys_openat __x64_sys_umount __ia32_compat_sys_openat __ia32_sys_umount", ""}, // once each
	} {
		names, unknown := functionsOf(ids(strings.Fields(tc.syscalls)...), numberings(event.AMD64), func(n string) bool { return kernel[n] })
		if d := cmp.Diff([2]string{tc.names, tc.unknown}, [2]string{strings.Join(names, " "), strings.Join(unknown, " ")}); d != "" {
			t.Errorf("%s (-want +got):\n%s", tc.syscalls, d)
		}
	}
	only64 := func(n string) bool { return n == "__x64_sys_openat" }
	if names, unknown := functionsOf(ids("openat"), numberings(event.AMD64), only64); len(names) != 1 || unknown != nil {
		t.Errorf("a kernel without 32-bit tasks: %v, %v", names, unknown)
	}
}

func TestFunctionsOfARM64(t *testing.T) {
	kernel := setOf(`__arm64_sys_openat __arm64_compat_sys_openat __arm64_sys_getpid __arm64_sys_umount __arm64_compat_sys_execve
		__arm64_sys_setuid __arm64_sys_setuid16 __arm64_sys_sendfile64 __arm64_compat_sys_sendfile __arm64_compat_sys_sendfile64
		__arm64_sys_clone __arm64_sys_arm64_personality __arm64_sys_personality __arm64_compat_sys_aarch32_pread64 __arm64_sys_pread64`)
	has := func(n string) bool { return kernel[n] }
	for _, tc := range []struct{ syscalls, names, unknown string }{
		{"", "", ""},
		{"openat", "__arm64_sys_openat __arm64_compat_sys_openat", ""},
		{"getpid clone umount2", "__arm64_sys_getpid __arm64_sys_clone __arm64_sys_umount", ""}, // one for both
		{"setuid", "__arm64_sys_setuid __arm64_sys_setuid16", ""},
		{"setuid32", "__arm64_sys_setuid", ""}, // ARM alone, by the function of both
		{"sendfile", "__arm64_sys_sendfile64 __arm64_compat_sys_sendfile", ""},
		{"sendfile64", "__arm64_compat_sys_sendfile64 __arm64_sys_sendfile64", ""},
		{"personality", "__arm64_sys_arm64_personality __arm64_sys_personality", ""},
		{"pread64", "__arm64_sys_pread64 __arm64_compat_sys_aarch32_pread64", ""},
		{"socketcall nfsservctl fchmodat2", "", ""}, // i386 alone; not in use; newer
		{"mount", "", "mount"}, // one that should be there
	} {
		names, unknown := functionsOf(ids(strings.Fields(tc.syscalls)...), numberings(event.ARM64), has)
		if d := cmp.Diff([2]string{tc.names, tc.unknown}, [2]string{strings.Join(names, " "), strings.Join(unknown, " ")}); d != "" {
			t.Errorf("%s (-want +got):\n%s", tc.syscalls, d)
		}
	}
	delete(kernel, "__arm64_compat_sys_execve")
	if names, unknown := functionsOf(ids("pread64"), numberings(event.ARM64), has); len(names) != 1 || unknown != nil {
		t.Errorf("a kernel without 32-bit tasks: %v, %v", names, unknown)
	}
}

// Names that differ are those of syscalls that there are.
func TestRenamed(t *testing.T) {
	for _, n := range append(numberings(event.AMD64), numberings(event.ARM64)...) {
		for name := range n.renamed {
			id, ok := event.SyscallByName(name)
			if !ok {
				t.Errorf("no syscall %q", name)
				continue
			}
			if _, ok := id.Number(n.abi); !ok {
				t.Errorf("syscall %s has no number in ABI %d", name, n.abi)
			}
		}
	}
}

func TestTracepointCostsLess(t *testing.T) {
	for _, tc := range []struct {
		all, wanted uint64
		want        bool
	}{{0, 0, false}, {999, 999, false}, {1000, 1000, true}, {9000, 6000, false}, {9000, 6001, true}, {1 << 40, 1 << 20, false}} {
		if got := tracepointCostsLess(tc.all, tc.wanted); got != tc.want {
			t.Errorf("%d of %d: %v", tc.wanted, tc.all, got)
		}
	}
}

func TestPreemption(t *testing.T) {
	for _, tc := range []struct{ version, file, want string }{
		{"#1 SMP Debian 5.10.262-1 (2026-01-01)", "", ""},
		{"#1 SMP PREEMPT Mon Jan 1 2024", "", "is preemptible"},
		{"#1 SMP PREEMPT_RT Mon Jan 1 2024", "", "is preemptible"},
		{"#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1", "none (voluntary) full\n", ""},
		{"#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1", "(none) voluntary full\n", ""},
		{"#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1", "none voluntary (full)\n", `mode "full"`},
		{"#1 SMP PREEMPT_DYNAMIC Debian 6.18.1-1", "full (lazy)\n", `mode "lazy"`},
		{"#1 SMP PREEMPT_DYNAMIC Debian 6.18.1-1", "", "not known"},
	} {
		got := preemption(tc.version, func() (string, error) {
			if tc.file == "" {
				return "", errors.New("no such file")
			}
			return chosenMode([]byte(tc.file)), nil
		})
		if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s with %q: %q", tc.version, tc.file, got)
		}
	}
}

// Every syscall has a function in the running kernel, or is known to be newer.
func TestFunctionsOfKernel(t *testing.T) {
	needBPF(t)
	kernel, err := btf.NewCache().Kernel()
	if err != nil {
		t.Fatal(err)
	}
	var all []event.ID
	for id := range event.NumSyscalls() {
		all = append(all, event.ID(id))
	}
	names, unknown := functionsOf(all, numberings(nativeABI()), func(name string) bool {
		_, ok := findFunction(kernel, name)
		return ok
	})
	t.Logf("%d functions", len(names))
	if _, ok := findFunction(kernel, numberings(nativeABI())[0].openat()); !ok {
		t.Errorf("no %s, by which the kernel is tried", numberings(nativeABI())[0].openat())
	}
	// The types of older kernels lack some, so that rules on them take sys_exit:
	// those of 5.10 perf_event_open.
	t.Logf("no function for %v", unknown)
	if major, minor, _ := kernelVersion(); len(unknown) > 0 && major*100+minor >= 612 {
		t.Errorf("no function for %v", unknown)
	}
}

// Socket calls of 32-bit tasks may come through another syscall.
func TestCalled(t *testing.T) {
	for _, tc := range []struct{ syscalls, want string }{
		{"", ""}, {"openat", "openat"}, {"openat connect", "openat connect socketcall"}, {"sendmmsg socket", "sendmmsg socket socketcall"},
	} {
		var got []string
		for _, id := range (Interest{Syscalls: ids(strings.Fields(tc.syscalls)...)}).called() {
			got = append(got, id.String())
		}
		if s := strings.Join(got, " "); s != tc.want {
			t.Errorf("%s: %s, want %s", tc.syscalls, s, tc.want)
		}
	}
}
