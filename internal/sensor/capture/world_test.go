package capture

import "testing"

// Whatever the claimed parents, and the order of the exits: there is
// an end to the search for a living one.
func TestReapers(t *testing.T) {
	var w world
	w.reset()
	var ps [5]*proc
	var ts [5]*thread
	for i := range ps {
		ps[i] = w.newProc(int32(10 + i))
		ts[i] = w.add(int32(10+i), ps[i])
	}
	ps[0].parent, ps[1].parent = ps[1], ps[0] // a circle
	ps[2].parent, ps[3].parent, ps[4].parent = ps[1], ps[2], ps[3]
	w.remove(ts[3])
	if got := ps[4].parentPID(); got != 12 {
		t.Errorf("parent after the first death is %d, want the grandparent 12", got)
	}
	w.remove(ts[2])
	if got := ps[4].parentPID(); got != 11 {
		t.Errorf("parent after the second death is %d, want 11", got)
	}
	w.remove(ts[0])
	w.remove(ts[1])
	if got := ps[4].parentPID(); got != 1 {
		t.Errorf("parent after all have gone is %d, want 1", got)
	}
}
