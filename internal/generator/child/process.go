package child

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

func wait([]string) error {
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func run(args []string) error {
	attr := &os.ProcAttr{Env: append(os.Environ(), Exit().Env()), Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}}
	process, err := os.StartProcess(args[0], args[1:], attr)
	if err != nil {
		return errno(err)
	}
	state, err := process.Wait()
	if err != nil {
		return errno(err)
	}
	if code := state.ExitCode(); code != 0 {
		return unix.Errno(code & 0xff)
	}
	return nil
}

func openOnDemand(args []string) error {
	var request, answer [1]byte
	for {
		if n, err := unix.Read(0, request[:]); n != 1 {
			return err
		}
		answer[0] = 0
		fd, err := unix.Open(args[0], unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Close(fd)
		}
		if e, ok := err.(unix.Errno); ok {
			answer[0] = byte(e)
		}
		if _, err := unix.Write(1, answer[:]); err != nil {
			return err
		}
	}
}

func traceme([]string) error {
	_, _, e := unix.Syscall(unix.SYS_PTRACE, unix.PTRACE_TRACEME, 0, 0)
	return result(e)
}

// setuidRoot takes EPERM for success: only the attempt matters.
func setuidRoot([]string) error {
	// The raw syscall, since package unix would do it on every thread.
	switch _, _, e := unix.RawSyscall(unix.SYS_SETUID, 0, 0, 0); e {
	case unix.EPERM:
		return nil
	case 0:
		return unix.ENOTSUP // we were root, and nothing was shown
	default:
		return e
	}
}

func unshare([]string) error { return unix.Unshare(unix.CLONE_FS | unix.CLONE_FILES) }

// userfaultfd in the mode that needs no privilege: UFFD_USER_MODE_ONLY, since
// Linux 5.11 (userfaultfd(2)). Older kernels know no such flag.
func userfaultfd([]string) error {
	const userModeOnly = 1
	fd, _, e := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC|userModeOnly, 0, 0)
	if e == unix.EINVAL {
		fd, _, e = unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0)
	}
	if e != 0 {
		return e
	}
	return unix.Close(int(fd))
}

func result(e unix.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

// errno finds the number in an error of package os.
func errno(err error) error {
	for e := err; e != nil; {
		if n, ok := e.(unix.Errno); ok {
			return n
		}
		u, ok := e.(interface{ Unwrap() error })
		if !ok {
			break
		}
		e = u.Unwrap()
	}
	return err
}
