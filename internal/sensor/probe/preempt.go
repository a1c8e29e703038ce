package probe

import (
	"bytes"
	"fmt"
	"io"
	"os"
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
	return preemption(unix.ByteSliceToString(u.Version[:]), dynamicPreemption)
}

// preemption reads the kernel's version as uname -v has it; dynamic is the file
// of kernels that decide when they start (sched/preempt of debugfs), such as
// "none (voluntary) full".
func preemption(version string, dynamic func() ([]byte, error)) string {
	words := strings.Fields(version)
	has := func(word string) bool {
		for _, w := range words {
			if w == word {
				return true
			}
		}
		return false
	}
	switch {
	case has("PREEMPT_RT"), has("PREEMPT"):
		return "the kernel is preemptible"
	case !has("PREEMPT_DYNAMIC"):
		return ""
	}
	modes, err := dynamic()
	if err != nil {
		return fmt.Sprintf("it is not known whether the kernel is preemptible: %v", err)
	}
	_, mode, _ := bytes.Cut(modes, []byte("("))
	mode, _, _ = bytes.Cut(mode, []byte(")"))
	switch string(mode) {
	case "none", "voluntary":
		return ""
	}
	return fmt.Sprintf("the kernel is preemptible (mode %q)", mode)
}

func dynamicPreemption() ([]byte, error) { return readNowhere("debugfs", "sched/preempt") }

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
