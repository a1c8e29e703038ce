package sensor

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Calls that newer architectures do not have.
func init() {
	paths := func(nr uintptr, n int, rest ...uintptr) func(c *caller) {
		return func(c *caller) {
			var args [3]uintptr
			for i := range n {
				p, err := unix.BytePtrFromString(c.path())
				if err != nil {
					return
				}
				args[i] = uintptr(unsafe.Pointer(p))
			}
			copy(args[n:], rest)
			fd, _, errno := unix.Syscall(nr, args[0], args[1], args[2])
			if errno == 0 && (nr == unix.SYS_OPEN || nr == unix.SYS_CREAT) {
				unix.Close(int(fd))
			}
		}
	}
	calls = append(calls,
		paths(unix.SYS_OPEN, 1, unix.O_RDONLY), paths(unix.SYS_CREAT, 1, 0o600), paths(unix.SYS_UNLINK, 1), paths(unix.SYS_RMDIR, 1),
		paths(unix.SYS_MKDIR, 1, 0o700), paths(unix.SYS_RENAME, 2), paths(unix.SYS_LINK, 2), paths(unix.SYS_SYMLINK, 2),
		paths(unix.SYS_CHMOD, 1, 0o4755), paths(unix.SYS_CHOWN, 1), paths(unix.SYS_MKNOD, 1, unix.S_IFREG|0o600),
	)
}
