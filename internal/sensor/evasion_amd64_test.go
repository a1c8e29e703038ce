package sensor

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() { acts["creat"] = func(a []string) error { return creat(a[0]) } }

// creat is a syscall that newer architectures do not have.
func creat(path string) error {
	p, err := unix.BytePtrFromString(path)
	if err != nil {
		return err
	}
	fd, _, errno := unix.Syscall(unix.SYS_CREAT, uintptr(unsafe.Pointer(p)), 0o600, 0)
	if errno != 0 {
		return errno
	}
	return unix.Close(int(fd))
}
