package profile

import "strings"

// digits are those of the slots of a window: five in each, the first in the
// lowest bit of the first.
const digits = "0123456789abcdefghijklmnopqrstuv"

const (
	perDigit = 5
	allSlots = 1<<Slots - 1
)

// encodeSlots writes the busy slots of windows. Windows without one have no
// calls, or calls in all slots: "" if that is so for all.
func encodeSlots(windows []uint16) string {
	var b strings.Builder
	partly := false
	for _, w := range windows {
		partly = partly || w != 0 && w != allSlots
		b.WriteByte(digits[w&(1<<perDigit-1)])
		b.WriteByte(digits[w>>perDigit&(1<<perDigit-1)])
	}
	if !partly {
		return ""
	}
	return b.String()
}

// Busy says in which slots of a window the calls come: at least one.
func (s *Strand) Busy(window int) (slots [Slots]bool) {
	busy := 0
	if i := 2 * window; i+1 < len(s.Slots) {
		busy = max(0, strings.IndexByte(digits, s.Slots[i])) | max(0, strings.IndexByte(digits, s.Slots[i+1]))<<perDigit
	}
	if busy == 0 {
		busy = allSlots
	}
	for i := range slots {
		slots[i] = busy>>i&1 == 1
	}
	return slots
}

// windows is a part of the strand, padded with windows without calls.
func (s *Strand) windows(from, to int) Strand {
	part := *s
	part.Counts = s.Counts[from:to]
	if s.Slots != "" {
		part.Slots = s.Slots[2*from : 2*to]
	}
	if s.Exact != nil {
		part.Exact = s.Exact.windows(from, to)
	}
	return part
}

// follow appends the windows of another strand after silence up to length.
func (s *Strand) follow(o Strand, length int) {
	s.pad(length)
	if s.Exact != nil || o.Exact != nil {
		s.Exact = s.exactly().follow(o.exactly())
		s.Slots, o.Slots = "", ""
	}
	if s.Slots != "" || o.Slots != "" {
		s.Slots = s.filled() + o.filled()
	}
	s.Counts = append(s.Counts, o.Counts...)
}

func (s *Strand) pad(length int) {
	more := length - len(s.Counts)
	if s.Slots != "" {
		s.Slots += strings.Repeat("00", more)
	}
	if s.Exact != nil {
		s.Exact = s.Exact.follow(&Exact{Windows: more})
	}
	s.Counts = append(s.Counts, make([]uint32, more)...)
}

// filled are the slots of all windows, also if all are busy.
func (s *Strand) filled() string {
	if s.Slots != "" {
		return s.Slots
	}
	return strings.Repeat("00", len(s.Counts))
}
