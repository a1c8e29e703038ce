//go:build !invariants

package alert

import "testing"

// The memory released last is reused first, and a bounded part is kept after a
// backlog.
func TestSpare(t *testing.T) {
	s := &stack{}
	first, second := &Alert{}, &Alert{}
	s.push(first)
	s.push(second)
	if a, b, c := s.pop(), s.pop(), s.pop(); a != second || b != first || c != nil {
		t.Errorf("%p %p %p, want %p, %p and none", a, b, c, second, first)
	}
	for _, line := range []int{0, 1000, maxSpare} {
		one := spareBytes(&Alert{Line: make([]byte, 0, line)})
		want := mostSpare / one
		for range want + 10 {
			s.push(&Alert{Line: make([]byte, 0, line)})
		}
		if len(s.free) != want || s.bytes != want*one {
			t.Errorf("lines of %d bytes: %d alerts are kept, %d bytes; want %d, %d", line, len(s.free), s.bytes, want, want*one)
		}
		for s.pop() != nil {
		}
		if s.bytes != 0 {
			t.Errorf("%d bytes of no alerts", s.bytes)
		}
	}
}

// A released alert is reused for the next one: it keeps the capacity of its
// line and none of its content.
func TestReuse(t *testing.T) {
	a := blank()
	a.Rule, a.Line = "R", append(a.Line, "text"...)
	a.Share(2)
	a.Release()
	if b := blank(); b == a {
		t.Error("an alert that is still held was given out")
	}
	a.Release()
	if b := blank(); b != a || b.Rule != "" || len(b.Line) != 0 || cap(b.Line) == 0 {
		t.Errorf("%+v, want the alert that was released, blank", b)
	}
}
