package overhead

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sample"
)

// Workload is a fixed piece of work whose time is taken with and without a
// sensor.
type Workload struct {
	Name string
	What string
	// Syscalls is the number of syscalls of one operation; 0 if unknown, as for
	// a program, whose figures are per run.
	Syscalls int
	// prepare gives a function that does n operations.
	prepare func() (run func(n int) error, close func() error, err error)
}

// Workloads are the fixed mixes: a syscall that no sensor wants, one that every
// sensor wants, the calls of services, and starting a program.
func Workloads() []Workload {
	return []Workload{
		{"getpid", "getpid, of no interest to any rule", 1, prepareGetpid},
		{"open", "openat and close of one file", 2, prepareOpen},
		{"mix", "openat statx read read close statx write getpid gettid getuid", 10, prepareMix},
		{"connect", "socket setsockopt connect accept4 close close on loopback", 6, prepareConnect},
		{"exec", "start /bin/true and wait for it", 0, prepareExec},
	}
}

// Program is a workload that runs a command once per operation.
func Program(command string) Workload {
	return Workload{"program", command, 0, func() (func(int) error, func() error, error) {
		args := strings.Fields(command)
		if len(args) == 0 {
			return nil, nil, errors.New("empty command")
		}
		if _, err := exec.LookPath(args[0]); err != nil {
			return nil, nil, err
		}
		return func(n int) error {
			for range n {
				if err := exec.Command(args[0], args[1:]...).Run(); err != nil {
					return fmt.Errorf("%s: %w", command, err)
				}
			}
			return nil
		}, nil, nil
	}}
}

// raw is a system call without Go's scheduler around it: nothing here blocks.
func raw(trap, a, b, c uintptr) (uintptr, error) {
	r, _, errno := unix.RawSyscall(trap, a, b, c)
	if errno != 0 {
		return 0, errno
	}
	return r, nil
}

func prepareGetpid() (func(int) error, func() error, error) {
	return func(n int) error {
		for range n {
			if _, err := raw(unix.SYS_GETPID, 0, 0, 0); err != nil {
				return err
			}
		}
		return nil
	}, nil, nil
}

// file makes a small file, whose C path is returned.
func file() (path *byte, remove func() error, err error) {
	f, err := os.CreateTemp("", "peregrine-overhead-")
	if err != nil {
		return nil, nil, err
	}
	remove = func() error { return os.Remove(f.Name()) }
	if _, err = f.WriteString(strings.Repeat("x", 1000)); err == nil {
		path, err = unix.BytePtrFromString(f.Name())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	return path, remove, nil
}

const cwd = ^uintptr(99) // AT_FDCWD, -100

func openFile(path *byte) (uintptr, error) {
	return raw(unix.SYS_OPENAT, cwd, uintptr(unsafe.Pointer(path)), unix.O_RDONLY|unix.O_CLOEXEC)
}

func prepareOpen() (func(int) error, func() error, error) {
	path, remove, err := file()
	return func(n int) error {
		for range n {
			fd, err := openFile(path)
			if err == nil {
				_, err = raw(unix.SYS_CLOSE, fd, 0, 0)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}, remove, err
}

func prepareMix() (func(int) error, func() error, error) {
	path, remove, err := file()
	if err != nil {
		return nil, nil, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	out := null.Fd()
	buf := make([]byte, 512)
	stat := func() error { // not raw: statx has five arguments
		var st unix.Statx_t
		_, _, errno := unix.RawSyscall6(unix.SYS_STATX, cwd, uintptr(unsafe.Pointer(path)), 0, unix.STATX_BASIC_STATS, uintptr(unsafe.Pointer(&st)), 0)
		if errno != 0 {
			return errno
		}
		return nil
	}
	data := uintptr(unsafe.Pointer(&buf[0]))
	run := func(n int) error {
		defer runtime.KeepAlive(buf)
		for range n {
			fd, err := openFile(path)
			if err != nil {
				return err
			}
			err = stat()
			for _, call := range [...][4]uintptr{
				{unix.SYS_READ, fd, data, 512}, {unix.SYS_READ, fd, data, 512}, {unix.SYS_CLOSE, fd},
				{unix.SYS_WRITE, out, data, 100}, {unix.SYS_GETPID}, {unix.SYS_GETTID}, {unix.SYS_GETUID},
			} {
				if err == nil {
					_, err = raw(call[0], call[1], call[2], call[3])
				}
			}
			if err == nil {
				err = stat()
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return run, func() error { return errors.Join(null.Close(), remove()) }, nil
}

func prepareConnect() (func(int) error, func() error, error) {
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	closing := func() error { return unix.Close(listener) }
	address := &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}
	if err = unix.Bind(listener, address); err == nil {
		err = unix.Listen(listener, 16)
	}
	if err != nil {
		return nil, nil, errors.Join(err, closing())
	}
	bound, err := unix.Getsockname(listener)
	if err != nil {
		return nil, nil, errors.Join(err, closing())
	}
	return func(n int) error {
		for range n {
			if err := connectOnce(listener, bound); err != nil {
				return err
			}
		}
		return nil
	}, closing, nil
}

// connectOnce connects and resets, so that no port is left waiting.
func connectOnce(listener int, to unix.Sockaddr) error {
	client, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	err = unix.SetsockoptLinger(client, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	if err == nil {
		err = unix.Connect(client, to)
	}
	server := -1
	if err == nil {
		server, _, err = unix.Accept4(listener, unix.SOCK_CLOEXEC)
	}
	err = errors.Join(err, unix.Close(client))
	if server >= 0 {
		err = errors.Join(err, unix.Close(server))
	}
	return err
}

func prepareExec() (func(int) error, func() error, error) {
	path, err := exec.LookPath("true")
	return func(n int) error {
		for range n {
			pid, err := syscall.ForkExec(path, []string{"true"}, &syscall.ProcAttr{})
			if err != nil {
				return err
			}
			if _, err := syscall.Wait4(pid, nil, 0, nil); err != nil {
				return err
			}
		}
		return nil
	}, nil, err
}

// slice is the length of one measured piece of a workload. A workload's figure
// is the median of its pieces, which leaves out scheduling delays in some.
const slice = 10 * time.Millisecond

// measure does the workload for d on this thread, and returns ns per
// operation.
func (w *Workload) measure(d time.Duration) (float64, error) {
	run, closing, err := w.prepare()
	if err != nil {
		return 0, fmt.Errorf("workload %s: %w", w.Name, err)
	}
	if closing != nil {
		defer func() { _ = closing() }()
	}
	n := 1
	for { // warm up, and find how many operations fill a slice
		begin := time.Now()
		if err := run(n); err != nil {
			return 0, fmt.Errorf("workload %s: %w", w.Name, err)
		}
		took := time.Since(begin)
		if took >= slice/2 {
			n = max(1, int(float64(n)*float64(slice)/float64(took)))
			break
		}
		n *= 2
	}
	var pieces []float64
	for begin := time.Now(); len(pieces) == 0 || time.Since(begin) < d; {
		at := time.Now()
		if err := run(n); err != nil {
			return 0, fmt.Errorf("workload %s: %w", w.Name, err)
		}
		pieces = append(pieces, float64(time.Since(at).Nanoseconds())/float64(n))
	}
	return sample.Median(pieces), nil
}
