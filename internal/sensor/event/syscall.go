package event

// ID is the number of a syscall in our own numbering, which is the same on
// every architecture: an index into the table of names.
type ID uint16

// String returns the syscall's name.
func (id ID) String() string {
	if int(id) >= len(syscalls) {
		return "unknown"
	}
	return syscalls[id].name
}

// Kind is the kind of event that the syscall makes: its own, or
// KindSyscall for one without a kind of its own.
func (id ID) Kind() Kind { return syscalls[id].kind }

// SyscallByName returns the ID of the named syscall.
func SyscallByName(name string) (ID, bool) {
	id, ok := syscallsByName[name]
	return id, ok
}

// NumSyscalls is the number of IDs.
func NumSyscalls() int { return len(syscalls) }

// ABI is a numbering of syscalls.
type ABI uint8

// The numberings of the architectures that the probe runs on.
const (
	AMD64 ABI = iota
	I386      // 32-bit tasks on amd64
	ARM64
	ARM // 32-bit tasks on arm64
	numABI
)

// Number is the syscall's number in abi; false if abi does not have it.
func (id ID) Number(abi ABI) (int, bool) {
	n := syscalls[id].nr[abi]
	return int(n), n >= 0
}

type syscallInfo struct {
	name string
	kind Kind
	nr   [numABI]int16 // -1: not in that ABI
}

var syscallsByName = func() map[string]ID {
	m := make(map[string]ID, len(syscalls))
	for id := range syscalls {
		m[syscalls[id].name] = ID(id)
	}
	return m
}()
