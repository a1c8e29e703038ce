package probe

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// preempts says whether the kernel takes the CPU away from itself, in words:
// "" for no. Programs on functions can be interrupted by other tasks there,
// and the kernel skips a program that runs already
// (kernel/bpf/trampoline.c, __bpf_prog_enter_recur): calls would not be seen.
func preempts() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err.Error()
	}
	return preemption(unix.ByteSliceToString(u.Version[:]), preemptionMode)
}

// canPreempt says whether the kernel was built to be preemptible, also if it is
// not now; true if that is not known.
func canPreempt() bool {
	var u unix.Utsname
	return unix.Uname(&u) != nil || strings.Contains(unix.ByteSliceToString(u.Version[:]), "PREEMPT")
}

// preemption reads the kernel's version as uname -v has it; mode is that of
// kernels that decide when they start.
func preemption(version string, mode func() (string, error)) string {
	words := strings.Fields(version)
	switch {
	case slices.Contains(words, "PREEMPT_RT"), slices.Contains(words, "PREEMPT"):
		return "the kernel is preemptible"
	case !slices.Contains(words, "PREEMPT_DYNAMIC"):
		return ""
	}
	m, err := mode()
	switch {
	case err != nil:
		return fmt.Sprintf("it is not known whether the kernel is preemptible: %v", err)
	case m == "none", m == "voluntary":
		return ""
	}
	return fmt.Sprintf("the kernel is preemptible (mode %q)", m)
}

// preemptionMode is what the kernel says in debugfs. Where it is locked down, it
// forbids debugfs, but not that a program reads the variable.
func preemptionMode() (string, error) {
	modes, err := readNowhere("debugfs", "sched/preempt")
	if err == nil {
		return chosenMode(modes), nil
	}
	mode, err2 := preemptionVariable()
	if err2 != nil {
		return "", fmt.Errorf("%w; %w", err, err2)
	}
	return mode, nil
}

// chosenMode is the one in parentheses, as in "none (voluntary) full".
func chosenMode(modes []byte) string {
	_, mode, _ := bytes.Cut(modes, []byte("("))
	mode, _, _ = bytes.Cut(mode, []byte(")"))
	return string(mode)
}

// preemptionVariable reads preempt_dynamic_mode (kernel/sched/core.c), which all
// kernels have that decide when they start, with the same values.
func preemptionVariable() (string, error) {
	const name = "preempt_dynamic_mode"
	symbols, err := os.Open("/proc/kallsyms")
	if err != nil {
		return "", err
	}
	defer symbols.Close()
	address, err := findSymbol(symbols, name)
	if err != nil {
		return "", err
	}
	value, err := readKernel(address)
	if err != nil {
		return "", fmt.Errorf("read %s of the kernel: %w", name, err)
	}
	modes := []string{"none", "voluntary", "full", "lazy"}
	if int(value) >= len(modes) {
		return "", fmt.Errorf("%s of the kernel is %d: expected less than %d", name, value, len(modes))
	}
	return modes[value], nil
}

// readNowhere reads a short file of a file system that need not be mounted.
func readNowhere(kind, name string) ([]byte, error) {
	root, err := mountNowhere(kind)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	fd, err := unix.Openat(int(root.Fd()), name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name + " of " + kind, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, 1024))
}

// mountNowhere makes an instance of a file system that has no place in the
// tree, and ends with its descriptor.
func mountNowhere(kind string) (*os.File, error) {
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("open file system %s: %w", kind, err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("make file system %s: %w", kind, err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("mount file system %s: %w", kind, err)
	}
	return os.NewFile(uintptr(fd), kind), nil
}
