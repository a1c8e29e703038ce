//go:build invariants

package event

import "unsafe"

// Invariants says that borrowed memory is overwritten when its time is over.
const Invariants = true

// Loan is an event that is lent to its handler.
type Loan struct{ raw []byte }

// Begin returns a copy of the event, which may be overwritten: the ring's
// memory is read-only. It is aligned as the ring's are.
func (l *Loan) Begin(raw []byte) []byte {
	words := make([]uint64, (len(raw)+7)/8)
	l.raw = unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), 8*len(words))[:len(raw):len(raw)]
	copy(l.raw, raw)
	return l.raw
}

// End overwrites the event. Its memory is not used again, so that code that kept
// a part of it sees no other event there but nonsense.
func (l *Loan) End() {
	for i := range l.raw {
		l.raw[i] = 0xdb
	}
	l.raw = nil
}
