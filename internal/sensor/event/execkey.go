package event

import "unsafe"

// ExecKey tells of an exec that is sent how to leave out the next one like it
// (struct exec_key of the probe's bpf/record.h).
type ExecKey struct {
	// Key is a number made of everything that rules may see of the exec, but of
	// its long texts only Met.
	Key uint64
	// Met are the rules' patterns that occur in its texts.
	Met uint64
	// Ancestors is a number made of their names.
	Ancestors uint64
	// Plan is the number of the rules, and Epoch that of what else user space
	// knew.
	Plan  uint64
	Epoch uint64
}

// ExecKey returns the key of an execve event; false if it has none.
func (v *View) ExecKey() (k ExecKey, ok bool) {
	if v.Kind() != KindExecve {
		return k, false
	}
	b, ok := v.Bytes(ExecveExecKey)
	if !ok || len(b) != int(unsafe.Sizeof(k)) {
		return k, false
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&k)), unsafe.Sizeof(k)), b)
	return k, true
}
