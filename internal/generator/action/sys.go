package action

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The syscalls of actions, on paths that are C strings already: package unix
// would allocate one for each call. They do not wait for anybody, so that they
// do without the entry into the Go scheduler, which costs some 30 ns and, if
// the thread loses its CPU meanwhile, a change of threads.

// cpath is a NUL-terminated path, made once in prepare.
type cpath *byte

func c(path string) cpath {
	p, err := unix.BytePtrFromString(path)
	if err != nil {
		panic("path with a NUL byte: " + path) // paths are made in this package
	}
	return p
}

// check turns an errno into an error, without allocating: Go boxes values
// below 256 in a static table.
func check(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

func openat(path cpath, flags int, mode uint32) (int, error) {
	dirfd := unix.AT_FDCWD
	fd, _, errno := unix.RawSyscall6(unix.SYS_OPENAT, uintptr(dirfd), uintptr(unsafe.Pointer(path)), uintptr(flags|unix.O_CLOEXEC), uintptr(mode), 0, 0)
	return int(fd), check(errno)
}

func closeFD(fd int) error {
	_, _, errno := unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
	return check(errno)
}

func unlinkat(path cpath, flags int) error {
	dirfd := unix.AT_FDCWD
	_, _, errno := unix.RawSyscall(unix.SYS_UNLINKAT, uintptr(dirfd), uintptr(unsafe.Pointer(path)), uintptr(flags))
	return check(errno)
}

// openClose opens path and closes it again.
func openClose(path cpath, flags int, mode uint32) error {
	fd, err := openat(path, flags, mode)
	if err != nil {
		return err
	}
	return closeFD(fd)
}

func mknodat(path cpath, mode uint32) error {
	dirfd := unix.AT_FDCWD
	_, _, errno := unix.RawSyscall6(unix.SYS_MKNODAT, uintptr(dirfd), uintptr(unsafe.Pointer(path)), uintptr(unix.S_IFREG|mode), 0, 0, 0)
	return check(errno)
}

func mkdirat(path cpath, mode uint32) error {
	dirfd := unix.AT_FDCWD
	_, _, errno := unix.RawSyscall(unix.SYS_MKDIRAT, uintptr(dirfd), uintptr(unsafe.Pointer(path)), uintptr(mode))
	return check(errno)
}

func renameat(from, to cpath) error {
	dirfd := unix.AT_FDCWD
	_, _, errno := unix.RawSyscall6(unix.SYS_RENAMEAT2, uintptr(dirfd), uintptr(unsafe.Pointer(from)), uintptr(dirfd), uintptr(unsafe.Pointer(to)), 0, 0)
	return check(errno)
}

func linkat(from, to cpath) error {
	dirfd := unix.AT_FDCWD
	_, _, errno := unix.RawSyscall6(unix.SYS_LINKAT, uintptr(dirfd), uintptr(unsafe.Pointer(from)), uintptr(dirfd), uintptr(unsafe.Pointer(to)), 0, 0)
	return check(errno)
}

func symlinkat(target, path cpath) error {
	dirfd := unix.AT_FDCWD
	_, _, errno := unix.RawSyscall(unix.SYS_SYMLINKAT, uintptr(unsafe.Pointer(target)), uintptr(dirfd), uintptr(unsafe.Pointer(path)))
	return check(errno)
}

func chmod(path cpath, mode uint32) error {
	dirfd := unix.AT_FDCWD
	_, _, errno := unix.RawSyscall(unix.SYS_FCHMODAT, uintptr(dirfd), uintptr(unsafe.Pointer(path)), uintptr(mode))
	return check(errno)
}

func fstatat(path cpath, stat *unix.Stat_t) error {
	dirfd := unix.AT_FDCWD
	_, _, errno := unix.RawSyscall6(sysFstatat, uintptr(dirfd), uintptr(unsafe.Pointer(path)), uintptr(unsafe.Pointer(stat)), 0, 0, 0)
	return check(errno)
}

func read(fd int, buffer []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&buffer[0])), uintptr(len(buffer)))
	return int(n), check(errno)
}

func write(fd int, buffer []byte) (int, error) {
	n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&buffer[0])), uintptr(len(buffer)))
	return int(n), check(errno)
}
