package action

import (
	"encoding/binary"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// processReplays start processes that end at once: a copy of this one, or a
// program of one syscall. They make only the clone, the exec, the exit and the
// wait, so that other calls of real programs are replayed as recorded, and not
// twice.
var processReplays = map[string]replay{
	"clone":  {nr: unix.SYS_CLONE, fails: []word{number(-1), zero, zero, zero, zero}, besides: map[string]int{"wait4": 1, "exit_group": 1}, run: func(*prep) (func() error, error) { return func() error { return startCopy(unix.SYS_CLONE) }, nil }},
	"thread": {fails: nil, besides: map[string]int{"exit": 1}, run: startsThread},
	"execve": {nr: unix.SYS_EXECVE, fails: []word{missing, zero, zero}, besides: map[string]int{"clone": 1, "wait4": 1, "exit_group": 1}, run: startsProgram},
}

// startCopy forks, as clone without a stack and flags does, and waits for the
// child. Between the two returns the child makes one system call and touches
// nothing else: it is a copy of one thread of a Go program.
//
//go:norace
func startCopy(nr uintptr) error {
	pid, _, errno := unix.RawSyscall6(nr, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno == 0 && pid == 0 {
		for {
			_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	return waitFor(pid, errno)
}

//go:norace
func startProgram(path cpath, argv, env *[2]cpath) error {
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno == 0 && pid == 0 {
		_, _, _ = unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(path)), uintptr(unsafe.Pointer(argv)), uintptr(unsafe.Pointer(env)))
		for {
			_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 1, 0, 0)
		}
	}
	return waitFor(pid, errno)
}

func waitFor(pid uintptr, errno unix.Errno) error {
	for errno == 0 {
		var status uint32
		_, _, errno = unix.RawSyscall6(unix.SYS_WAIT4, pid, uintptr(unsafe.Pointer(&status)), 0, 0, 0, 0)
		switch {
		case errno == unix.EINTR:
			errno = 0
		case errno == 0 && status != 0:
			return errKilled
		case errno == 0:
			return nil
		}
	}
	return errno
}

func startsProgram(p *prep) (func() error, error) {
	name, err := p.inScratch("peregrine-replay")
	if err != nil {
		return nil, err
	}
	if err := p.file(name, string(smallestProgram(runtime.GOARCH)), 0o755); err != nil {
		return nil, err
	}
	path := c(name)
	argv, env := &[2]cpath{c("peregrine-replay")}, &[2]cpath{}
	return func() error { return startProgram(path, argv, env) }, nil
}

// smallestProgram is an ELF file (elf(5)) that calls exit_group(0).
func smallestProgram(arch string) []byte {
	const (
		base       = 0x400000
		headers    = 64 + 56
		amd64, arm = 62, 183 // EM_X86_64, EM_AARCH64
	)
	machine, code := uint16(amd64), []byte{
		0xb8, 231, 0, 0, 0, // mov $231, %eax: exit_group
		0x31, 0xff, // xor %edi, %edi
		0x0f, 0x05, // syscall
	}
	if arch == "arm64" {
		machine, code = arm, []byte{
			0x00, 0x00, 0x80, 0xd2, // mov x0, #0
			0xc8, 0x0b, 0x80, 0xd2, // mov x8, #94: exit_group
			0x01, 0x00, 0x00, 0xd4, // svc #0
		}
	}
	size := uint64(headers + len(code))
	out := []byte{0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	add := func(fields ...any) {
		for _, f := range fields {
			out, _ = binary.Append(out, binary.LittleEndian, f) // numbers of a fixed size
		}
	}
	add(uint16(2), machine, uint32(1), uint64(base+headers), uint64(64), uint64(0)) // ET_EXEC, entry, program headers
	add(uint32(0), uint16(64), uint16(56), uint16(1), uint16(0), uint16(0), uint16(0))
	add(uint32(1), uint32(5), uint64(0), uint64(base), uint64(base), size, size, uint64(4096)) // PT_LOAD, readable and executable
	return append(out, code...)
}
