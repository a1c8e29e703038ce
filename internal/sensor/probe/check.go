package probe

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// check returns, in one line, the missing requirement of the probe and its
// remedy.
func check() error {
	if err := checkKernel(); err != nil {
		return err
	}
	if err := checkCapabilities(); err != nil {
		return err
	}
	if err := checkLockdown(func() ([]byte, error) { return readNowhere("securityfs", "lockdown") }); err != nil {
		return err
	}
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		return errors.New("the kernel has no type information (/sys/kernel/btf/vmlinux): a kernel built with CONFIG_DEBUG_INFO_BTF=y is needed")
	}
	// Kernels from 5.11 on charge the memory to the cgroup; nothing is done then.
	if err := rlimit.RemoveMemlock(); err != nil {
		return fmt.Errorf("raise the limit of locked memory (needs CAP_SYS_RESOURCE on kernels before 5.11; or set `ulimit -l unlimited`): %w", err)
	}
	return nil
}

// checkKernel refuses kernels without BPF ring buffers (5.8).
func checkKernel() error {
	major, minor, known := kernelVersion()
	if known && (major < 5 || major == 5 && minor < 8) { // unknown: loading will tell
		return fmt.Errorf("kernel %d.%d is too old: 5.8 or later is needed (BPF ring buffers)", major, minor)
	}
	return nil
}

// checkLockdown refuses kernels that let no program read their memory; levels is
// their list of levels, with the one in force in brackets.
func checkLockdown(levels func() ([]byte, error)) error {
	text, err := levels()
	if err != nil || !bytes.Contains(text, []byte("[confidentiality]")) {
		return nil // unknown: loading will tell
	}
	return errors.New("the kernel is locked down: at level confidentiality, programs cannot read its memory; boot with lockdown=integrity, or without lockdown")
}

// kernelVersion is false if the kernel counts in an unknown way.
func kernelVersion() (major, minor int, known bool) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return 0, 0, false
	}
	n, _ := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	return major, minor, n == 2
}

// checkCapabilities wants CAP_SYS_ADMIN, or CAP_BPF and CAP_PERFMON.
func checkCapabilities() error {
	var data [2]unix.CapUserData
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("ask for capabilities: %w", err)
	}
	has := func(c uint) bool { return data[c/32].Effective&(1<<(c%32)) != 0 }
	if has(unix.CAP_SYS_ADMIN) {
		return nil
	}
	for _, c := range []struct {
		name string
		bit  uint
	}{{"CAP_BPF", unix.CAP_BPF}, {"CAP_PERFMON", unix.CAP_PERFMON}} {
		if !has(c.bit) {
			return fmt.Errorf("no permission to load eBPF programs: %s is missing; run as root, or with CAP_BPF and CAP_PERFMON", c.name)
		}
	}
	return nil
}

// loadError makes one line of a refusal to load; the verifier's log is behind
// %+v.
func loadError(err error) error {
	var verr *ebpf.VerifierError
	switch {
	case errors.As(err, &verr):
		return fmt.Errorf("the kernel's verifier refused the probe: %w", err)
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("load the probe: %w (a container or security module may forbid bpf(2))", err)
	}
	return fmt.Errorf("load the probe: %w", err)
}
