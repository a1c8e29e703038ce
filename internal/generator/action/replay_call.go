package action

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// replay is how a syscall is made.
type replay struct {
	nr   uintptr
	args []word
	// fails are the arguments with which it fails; nil: with no descriptor, if
	// the first is one, or with no such file. A call that has no way to fail
	// succeeds instead.
	fails []word
	// neverSucceeds is for a call that has no harmless way to succeed here.
	neverSucceeds bool

	besides map[string]int
	// after undoes the effect of a call, by its result and its arguments.
	after func(result uintptr, args *[6]uintptr)
	// run, if not nil, is all of a call that succeeds.
	run func(*prep) (func() error, error)
}

// word makes one argument of a syscall ready.
type word func(*prep) (uintptr, error)

func (r replay) prepare(p *prep, failed bool) (func() error, error) {
	if r.run != nil && (!failed || r.fails == nil) {
		return r.run(p)
	}
	words, fails := r.args, r.fails != nil && (failed || r.neverSucceeds)
	if fails {
		words = r.fails
	}
	args, turned, err := p.words(words)
	if err != nil {
		return nil, err
	}
	n := 0
	nr, after := r.nr, r.after
	if fails {
		return func() error { // an error is expected
			turn(&args, turned, n)
			n++
			_, _, _ = unix.RawSyscall6(nr, args[0], args[1], args[2], args[3], args[4], args[5])
			return nil
		}, nil
	}
	return func() error {
		turn(&args, turned, n)
		n++
		result, _, errno := unix.RawSyscall6(nr, args[0], args[1], args[2], args[3], args[4], args[5])
		if errno == unix.EINTR { // made, if only until a signal of the Go runtime
			return nil
		}
		if errno != 0 {
			return errno
		}
		if after != nil {
			after(result, &args)
		}
		return nil
	}, nil
}

// number is a plain argument.
func number(n int) word { return func(*prep) (uintptr, error) { return uintptr(n), nil } }

var (
	zero       = number(0)
	noFD       = number(-1)
	here       = number(unix.AT_FDCWD)
	toMemory   = pointer(unsafe.Pointer(&replayMemory))
	fromMemory = pointer(unsafe.Pointer(replayZeros))
	size       = number(64)
)

// replayMemory is where all replayed calls let the kernel write. Variables of a
// package do not move.
var replayMemory [8192]byte

// replayZeros is the input of all of them, size bytes. It lies with the
// constants, where the kernel cannot write: it is the timeout of polls and
// sleeps too.
var replayZeros = unsafe.StringData(eight + eight + eight + eight + eight + eight + eight + eight)

const eight = "\x00\x00\x00\x00\x00\x00\x00\x00"

func pointer(to unsafe.Pointer) word { return func(*prep) (uintptr, error) { return uintptr(to), nil } }

// held is the address of a path that lives until the action is closed.
func (p *prep) held(path cpath) uintptr {
	p.undo(func() error {
		runtime.KeepAlive(path)
		return nil
	})
	return uintptr(unsafe.Pointer(path))
}

// opened is a descriptor that is closed with the action.
func (p *prep) opened(fd int, err error) (uintptr, error) {
	if err != nil {
		return 0, err
	}
	p.undo(func() error { return closeFD(fd) })
	return uintptr(fd), nil
}

func device(path string) word {
	return func(p *prep) (uintptr, error) { return p.opened(unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)) }
}

func memoryFile(p *prep) (uintptr, error) {
	fd, err := p.opened(unix.MemfdCreate("peregrine", unix.MFD_CLOEXEC))
	if err == nil {
		err = unix.Ftruncate(int(fd), 4096)
	}
	return fd, err
}

func directory(p *prep) (uintptr, error) {
	if _, err := harmlessFile(p); err != nil {
		return 0, err
	}
	name, err := p.inScratch("")
	if err != nil {
		return 0, err
	}
	return p.opened(unix.Open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0))
}

// emptyPipe is the end of a pipe to read from: nothing is there.
func emptyPipe(p *prep) (uintptr, error) {
	var ends [2]int
	err := unix.Pipe2(ends[:], unix.O_CLOEXEC|unix.O_NONBLOCK)
	if err == nil {
		_, err = p.opened(ends[1], nil)
	}
	return p.opened(ends[0], err)
}

// reserved is a descriptor for dup3 to replace.
var reserved = device("/dev/null")

func closeResult(fd uintptr, _ *[6]uintptr) { _ = closeFD(int(fd)) }
