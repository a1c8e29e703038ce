package action

import (
	"encoding/binary"
	"errors"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// processReplays start and end processes: copies of this one, which end at once,
// and programs of two syscalls, which live until the replay of an exit_group ends
// the oldest. They make only the clone, the exec, the exit and the
// wait, so that other calls of real programs are replayed as recorded, and not
// twice.
var processReplays = map[string]replay{
	"clone":      {nr: unix.SYS_CLONE, fails: []word{number(-1), zero, zero, zero, zero}, besides: map[string]int{"wait4": 1, "exit_group": 1}, run: func(*prep) (func() error, error) { return func() error { return startCopy(unix.SYS_CLONE) }, nil }},
	"thread":     {fails: nil, besides: map[string]int{"exit": 1}, run: startsThread},
	"execve":     {nr: unix.SYS_EXECVE, fails: []word{missing, zero, zero}, besides: map[string]int{"clone": 1}, run: startsProgram},
	"exit_group": {besides: map[string]int{"kill": 1, "wait4": 1}, run: func(p *prep) (func() error, error) { p.undo(programs.endAll); return programs.endOne, nil }},
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
	return waitFor(pid, errno, 0)
}

// startProgram returns when the child can no longer but run the program, which is
// what CLONE_VFORK asks for (fs/exec.c, begin_new_exec): it may have to end in the
// same millisecond.
//
//go:norace
func startProgram(path cpath, argv []cpath, env *[2]cpath) (pid uintptr, errno unix.Errno) {
	pid, _, errno = unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD)|unix.CLONE_VFORK, 0, 0, 0, 0, 0)
	if errno == 0 && pid == 0 {
		_, _, _ = unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(path)), uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(env)))
		for {
			_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 1, 0, 0)
		}
	}
	return pid, errno
}

// programs are those that live, of all workers of this process.
var programs living

// mostPrograms bounds them: more starts than ends end the oldest.
const mostPrograms = 64

// living has the processes, the oldest first.
type living struct {
	mu   sync.Mutex
	pids []uintptr
	// killed has not been waited for: that would take until it has ended.
	killed uintptr
}

func (l *living) add(pid uintptr) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pids = append(l.pids, pid)
	if len(l.pids) > mostPrograms {
		return l.end()
	}
	return nil
}

// endOne ends the oldest, if there is one.
func (l *living) endOne() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pids) == 0 {
		return nil
	}
	return l.end()
}

func (l *living) end() error {
	err := l.reap()
	l.killed = l.pids[0]
	l.pids = l.pids[:copy(l.pids, l.pids[1:])]
	_, _, errno := unix.RawSyscall(unix.SYS_KILL, l.killed, uintptr(unix.SIGKILL), 0)
	return errors.Join(err, check(errno))
}

// reap waits for the one that was killed.
func (l *living) reap() error {
	if l.killed == 0 {
		return nil
	}
	pid := l.killed
	l.killed = 0
	return waitFor(pid, 0, uint32(unix.SIGKILL))
}

func (l *living) endAll() (err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.pids) > 0 {
		err = errors.Join(err, l.end())
	}
	return errors.Join(err, l.reap())
}

// waitFor waits for a process that ends with a status.
func waitFor(pid uintptr, errno unix.Errno, want uint32) error {
	for errno == 0 {
		var status uint32
		_, _, errno = unix.RawSyscall6(unix.SYS_WAIT4, pid, uintptr(unsafe.Pointer(&status)), 0, 0, 0, 0)
		switch {
		case errno == unix.EINTR:
			errno = 0
		case errno == 0 && status != want:
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
	// The program inherits the end to read of a pipe. The other end is this
	// process's alone: should this one be killed, the program ends too.
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	for _, fd := range ends {
		p.undo(func() error { return closeFD(fd) })
	}
	inherited, err := p.opened(unix.Dup(ends[0]))
	if err != nil {
		return nil, err
	}
	if err := p.file(name, string(smallestProgram(runtime.GOARCH, inherited)), 0o755); err != nil {
		return nil, err
	}
	p.undo(programs.endAll)
	path := c(name)
	lists, env, n := p.arguments("peregrine-replay"), &[2]cpath{}, 0
	return func() error {
		n++
		pid, errno := startProgram(path, lists[n%len(lists)], env)
		if errno != 0 {
			return errno
		}
		return programs.add(pid)
	}, nil
}

// smallestProgram is an ELF file (elf(5)) that calls read(fd, NULL, 1) and
// exit_group(0).
func smallestProgram(arch string, fd uintptr) []byte {
	const (
		base       = 0x400000
		headers    = 64 + 56
		amd64, arm = 62, 183 // EM_X86_64, EM_AARCH64
	)
	machine, code := uint16(amd64), []byte{
		0xbf, byte(fd), byte(fd >> 8), 0, 0, // mov $fd, %edi
		0x31, 0xf6, // xor %esi, %esi
		0xba, 1, 0, 0, 0, // mov $1, %edx
		0x31, 0xc0, // xor %eax, %eax: read
		0x0f, 0x05, // syscall
		0xb8, 231, 0, 0, 0, // mov $231, %eax: exit_group
		0x31, 0xff, // xor %edi, %edi
		0x0f, 0x05, // syscall
	}
	if arch == "arm64" {
		mov := 0xd2800000 | uint32(fd)<<5
		machine, code = arm, []byte{
			byte(mov), byte(mov >> 8), byte(mov >> 16), byte(mov >> 24), // mov x0, #fd
			0x01, 0x00, 0x80, 0xd2, // mov x1, #0
			0x22, 0x00, 0x80, 0xd2, // mov x2, #1
			0xe8, 0x07, 0x80, 0xd2, // mov x8, #63: read
			0x01, 0x00, 0x00, 0xd4, // svc #0
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
