package action

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Thread is what the start of a thread is replayed as, which is a clone too.
const Thread = "thread"

// startThread clones a thread of this process that ends at once. It makes one
// system call and needs neither memory nor the Go runtime. It must not get a
// signal: the runtime's handlers need a thread of the runtime.
func startThread(stack uintptr) (errno uintptr)

// startsThread has the kernel ignore the ends of children, the only signal that
// any thread of this process may get: nobody here handles it.
func startsThread(p *prep) (func() error, error) {
	if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD), uintptr(unsafe.Pointer(replayZeros)), 0, 8, 0, 0); errno != 0 {
		return nil, errno
	}
	const size = 64 << 10
	stack, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, err
	}
	// Left mapped: nobody waits for the last thread.
	top := uintptr(unsafe.Pointer(&stack[0])) + size
	return func() error { return check(unix.Errno(startThread(top))) }, nil
}
