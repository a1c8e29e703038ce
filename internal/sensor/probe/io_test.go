package probe

import (
	"fmt"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

func TestIO(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "f"), "0123456789")
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	other, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(other)
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[0])
	defer unix.Close(p[1])
	buf := make([]byte, 100)
	ab := []byte("ab")
	iov := []unix.Iovec{{Base: &ab[0], Len: 2}, {Base: &[]byte("cde")[0], Len: 3}}
	riov := []unix.Iovec{{Base: &buf[0], Len: 4}, {Base: &buf[50], Len: 50}}
	file := regular(path)
	free := 700 // a descriptor that is not in use
	zero := int64(0)
	runCalls(t, []call{
		{syscall: "read", do: func() int64 { return raw(unix.SYS_READ, fd, ptr(buf), 4) },
			want: fields{"data": `"0123"`, "fd": num(fd), "size": "4", "file": file}},
		{name: " failed", syscall: "read", fails: true, do: func() int64 { return raw(unix.SYS_READ, free, ptr(buf), 4) },
			want: fields{"data": "-", "fd": num(free), "size": "4", "file": "-"}},
		{syscall: "write", do: func() int64 { return raw(unix.SYS_WRITE, fd, ptr(ab), 2) },
			want: fields{"data": `"ab"`, "fd": num(fd), "size": "2", "file": file}},
		{syscall: "pread64", do: func() int64 { return raw(unix.SYS_PREAD64, fd, ptr(buf), 3, 1) },
			want: fields{"data": `"123"`, "fd": num(fd), "size": "3", "pos": "1", "file": file}},
		{syscall: "pwrite64", do: func() int64 { return raw(unix.SYS_PWRITE64, fd, ptr(ab), 2, 8) },
			want: fields{"data": `"ab"`, "fd": num(fd), "size": "2", "pos": "8", "file": file}},
		{syscall: "lseek", do: func() int64 { return raw(unix.SYS_LSEEK, fd, 2, unix.SEEK_SET) },
			want: fields{"fd": num(fd), "offset": "2", "whence": "0", "file": file}},
		{syscall: "writev", do: func() int64 { return raw(unix.SYS_WRITEV, fd, unsafe.Pointer(&iov[0]), 2) },
			want: fields{"size": "5", "data": `"abcde"`, "fd": num(fd), "file": file}},
		{syscall: "readv", do: func() int64 {
			raw(unix.SYS_LSEEK, fd, 0, unix.SEEK_SET)
			return raw(unix.SYS_READV, fd, unsafe.Pointer(&riov[0]), 2)
		}, want: fields{"size": "54", "data": `"01abcde7ab"`, "fd": num(fd), "file": file}},
		{syscall: "pwritev", do: func() int64 { return raw(unix.SYS_PWRITEV, fd, unsafe.Pointer(&iov[0]), 2, 3) },
			want: fields{"size": "5", "data": `"abcde"`, "fd": num(fd), "pos": "3", "file": file}},
		{syscall: "preadv", do: func() int64 { return raw(unix.SYS_PREADV, fd, unsafe.Pointer(&riov[0]), 1, 3) },
			want: fields{"size": "4", "data": `"abcd"`, "fd": num(fd), "pos": "3", "file": file}},
		{syscall: "fcntl", do: func() int64 { return raw(unix.SYS_FCNTL, fd, unix.F_GETFL, 0) },
			want: fields{"fd": num(fd), "cmd": "4", "arg": "0", "file": file}},
		{syscall: "ioctl", fails: true, do: func() int64 { return raw(unix.SYS_IOCTL, fd, unix.TIOCGWINSZ, 77) },
			want: fields{"fd": num(fd), "request": num(unix.TIOCGWINSZ), "argument": "77", "file": file}},
		{syscall: "flock", do: func() int64 { return raw(unix.SYS_FLOCK, fd, unix.LOCK_EX|unix.LOCK_NB) },
			want: fields{"fd": num(fd), "operation": "6", "file": file}},
		{syscall: "dup", opens: true, do: func() int64 { return raw(unix.SYS_DUP, fd) }, want: fields{"oldfd": num(fd), "file": file}},
		{syscall: "dup3", do: func() int64 { return raw(unix.SYS_DUP3, fd, free, unix.O_CLOEXEC) },
			want: fields{"oldfd": num(fd), "newfd": num(free), "flags": num(fCLOEXEC), "file": file}},
		{syscall: "close", do: func() int64 { return raw(unix.SYS_CLOSE, free) }, want: fields{"fd": num(free), "file": "-"}},
		{syscall: "close_range", do: func() int64 { return raw(unix.SYS_CLOSE_RANGE, 900, 1000, unix.CLOSE_RANGE_CLOEXEC) },
			want: fields{"first": "900", "last": "1000", "flags": "4"}},
		{syscall: "sendfile", do: func() int64 { return raw(unix.SYS_SENDFILE, p[1], fd, unsafe.Pointer(&zero), 5) },
			dynamic: func(int64) fields {
				return fields{"offset": "5", "out_fd": num(p[1]), "in_fd": num(fd), "size": "5", "file": fmt.Sprintf("%d \"\"", event.FDPipe)}
			}},
		{syscall: "splice", do: func() int64 { return raw(unix.SYS_SPLICE, p[0], nil, fd, nil, 3, unix.SPLICE_F_NONBLOCK) },
			want: fields{"fd_in": num(p[0]), "fd_out": num(fd), "size": "3", "flags": "2", "file": fmt.Sprintf("%d \"\"", event.FDPipe)}},
		{syscall: "copy_file_range", do: func() int64 {
			from, to := int64(0), int64(20)
			return raw(unix.SYS_COPY_FILE_RANGE, fd, unsafe.Pointer(&from), other, unsafe.Pointer(&to), 2, 0)
		}, want: fields{"fdout": num(other), "offout": "22", "fdin": num(fd), "offin": "2", "len": "2", "file": file}},
		{syscall: "getdents64", fails: true, do: func() int64 { return raw(unix.SYS_GETDENTS64, fd, ptr(buf), 100) },
			want: fields{"fd": num(fd), "file": file}},
	})
}

func TestNewDescriptors(t *testing.T) {
	anon := func(kind event.FDType, name string) string { return fmt.Sprintf("%d %q", kind, name) }
	pipe := [2]int32{-1, -1}
	params := make([]uint32, 30)
	ring := int64(-1)
	// An io_uring left open would interrupt later calls of its thread.
	t.Cleanup(func() {
		unix.Close(int(ring))
		unix.Close(int(pipe[0]))
		unix.Close(int(pipe[1]))
	})
	runCalls(t, []call{
		{syscall: "pipe2", do: func() int64 {
			return raw(unix.SYS_PIPE2, unsafe.Pointer(&pipe), unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_DIRECT)
		},
			dynamic: func(int64) fields {
				var st unix.Stat_t
				if err := unix.Fstat(int(pipe[0]), &st); err != nil {
					t.Fatal(err)
				}
				return fields{"fd1": num(int(pipe[0])), "fd2": num(int(pipe[1])), "ino": num(st.Ino), "flags": num(fCLOEXEC | 1<<6 | 1<<9), "file": anon(event.FDPipe, "")}
			}},
		{syscall: "eventfd2", opens: true, do: func() int64 { return raw(unix.SYS_EVENTFD2, 3, unix.EFD_CLOEXEC) },
			want: fields{"flags": num(fCLOEXEC), "initval": "3", "file": anon(event.FDEvent, "[eventfd]")}},
		{syscall: "signalfd4", opens: true, do: func() int64 {
			mask := uint64(1 << 12)
			return raw(unix.SYS_SIGNALFD4, uint64(1<<64-1), unsafe.Pointer(&mask), 8, unix.SFD_NONBLOCK)
		}, want: fields{"flags": num(1 << 6), "fd": "-1", "mask": "0", "file": anon(event.FDSignal, "[signalfd]")}},
		{syscall: "timerfd_create", opens: true, do: func() int64 { return raw(unix.SYS_TIMERFD_CREATE, unix.CLOCK_MONOTONIC, 0) },
			want: fields{"clockid": "1", "flags": "0", "file": anon(event.FDTimer, "[timerfd]")}},
		{syscall: "inotify_init1", opens: true, do: func() int64 { return raw(unix.SYS_INOTIFY_INIT1, unix.IN_CLOEXEC) },
			want: fields{"flags": num(fCLOEXEC), "file": anon(event.FDInotify, "inotify")}},
		{syscall: "epoll_create1", opens: true, do: func() int64 { return raw(unix.SYS_EPOLL_CREATE1, unix.EPOLL_CLOEXEC) },
			want: fields{"flags": "1", "file": anon(event.FDEventPoll, "[eventpoll]")}},
		{syscall: "memfd_create", opens: true, do: func() int64 { return raw(unix.SYS_MEMFD_CREATE, "payload", unix.MFD_CLOEXEC) },
			want: fields{"name": `"payload"`, "flags": "1", "file": anon(event.FDMemfd, "memfd:payload")}},
		{syscall: "pidfd_open", opens: true, do: func() int64 { return raw(unix.SYS_PIDFD_OPEN, unix.Getpid(), 0) },
			want: fields{"pid": num(unix.Getpid()), "flags": "0", "file": "*"}, dynamic: nil},
		{syscall: "bpf", fails: true, do: func() int64 { return raw(unix.SYS_BPF, 5, nil, 0) }, want: fields{"cmd": "5", "file": "-"}},
		{syscall: "io_uring_setup", do: func() int64 { ring = raw(unix.SYS_IO_URING_SETUP, 4, unsafe.Pointer(&params[0])); return ring },
			dynamic: func(int64) fields {
				return fields{"entries": "4", "sq_entries": num(params[0]), "cq_entries": num(params[1]), "flags": "0", "sq_thread_cpu": num(params[3]),
					"sq_thread_idle": num(params[4]), "features": num(params[5] & 0x7ff), "file": anon(event.FDIOURing, "[io_uring]")}
			}},
		{syscall: "io_uring_enter", do: func() int64 { return raw(unix.SYS_IO_URING_ENTER, int(ring), 0, 0, 0, nil, 0) },
			dynamic: func(int64) fields {
				return fields{"fd": num(ring), "to_submit": "0", "min_complete": "0", "flags": "0", "sig": "0", "file": anon(event.FDIOURing, "[io_uring]")}
			}},
		{syscall: "io_uring_register", fails: true, do: func() int64 { return raw(unix.SYS_IO_URING_REGISTER, int(ring), 1, nil, 0) },
			dynamic: func(int64) fields {
				return fields{"fd": num(ring), "opcode": "1", "arg": "0", "nr_args": "0", "file": anon(event.FDIOURing, "[io_uring]")}
			}},
		{syscall: "userfaultfd", opens: true, do: func() int64 { return raw(unix.SYS_USERFAULTFD, unix.O_CLOEXEC) },
			want: fields{"flags": num(fCLOEXEC), "file": anon(event.FDUserfault, "[userfaultfd]")}},
		{syscall: "ppoll", do: func() int64 {
			fds := []unix.PollFd{{Fd: pipe[1], Events: unix.POLLOUT}, {Fd: -1}}
			ts := unix.Timespec{Sec: 1, Nsec: 5}
			return raw(unix.SYS_PPOLL, unsafe.Pointer(&fds[0]), 2, unsafe.Pointer(&ts), nil, 0)
		}, dynamic: func(int64) fields {
			list := []byte{2, 0}
			for _, f := range []struct {
				fd int64
				ev int16
			}{{int64(pipe[1]), unix.POLLOUT}, {-1, 0}} {
				b := *(*[8]byte)(unsafe.Pointer(&f.fd))
				list = append(append(list, b[:]...), byte(f.ev), byte(f.ev>>8))
			}
			// The kernel takes the time that passed off the timeout, so that only its size is known.
			return fields{"fds": quote(string(list)), "timeout": "*", "sigmask": "0"}
		}},
	})
}

func TestNewDescriptorsPidfdGetfd(t *testing.T) {
	pidfd, err := unix.PidfdOpen(unix.Getpid(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	path := write(t, filepath.Join(t.TempDir(), "f"), "x")
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	runCalls(t, []call{{syscall: "pidfd_getfd", opens: true, do: func() int64 { return raw(unix.SYS_PIDFD_GETFD, pidfd, fd, 0) },
		want: fields{"pid_fd": num(pidfd), "target_fd": num(fd), "flags": "0", "file": regular(path)}}})
}
