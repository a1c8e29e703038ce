package profile

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Of one profile, a merge says the same.
func TestMergeOfOne(t *testing.T) {
	p := sample()
	m, err := Merge([]*Profile{p})
	if err != nil {
		t.Fatal(err)
	}
	want := *p
	want.Source.Kind = FromMerge
	want.Paths = &Paths{Sampled: p.Paths.Sampled, Distinct: p.Paths.Distinct, Relative: p.Paths.Relative, Depth: p.Paths.Depth}
	if diff := cmp.Diff(&want, m); diff != "" {
		t.Error(diff)
	}
}

func TestMerge(t *testing.T) {
	a, b := sample(), sample()
	b.Seconds, b.Rate, b.Source.CPUs = 3*a.Seconds, 0, 8
	b.Syscalls, b.Shape, b.Bursts = nil, Shape{}, Bursts{}
	m, err := Merge([]*Profile{a, b})
	if err != nil {
		t.Fatal(err)
	}
	if m.Source.Nodes != 2 || m.Source.CPUs != 8 || m.Seconds != 4*a.Seconds {
		t.Errorf("%+v of %g s", m.Source, m.Seconds)
	}
	if m.Rate != a.Rate/4 || m.Syscalls[0].Rate() != a.Syscalls[0].Rate()/4 || m.Failed != a.Failed {
		t.Errorf("%g/s, %g/s of the first, %g failed", m.Rate, m.Syscalls[0].Rate(), m.Failed)
	}
	if m.Bursts.Tenth.Max != a.Bursts.Tenth.Max {
		t.Errorf("bursts up to %g, one node's are %g", m.Bursts.Tenth.Max, a.Bursts.Tenth.Max)
	}
	if _, err := Merge(nil); err == nil {
		t.Error("nothing was merged")
	}
}

// The order of a fleet does not matter, but for the order of the windows.
func TestMergeCommutes(t *testing.T) {
	a, b := sample(), wave(100).Profile()
	ab, _ := Merge([]*Profile{a, b})
	ba, _ := Merge([]*Profile{b, a})
	ab.Shape, ba.Shape = Shape{}, Shape{}
	if diff := cmp.Diff(ab, ba); diff != "" {
		t.Error(diff)
	}
}

// Windows of a long recording do not crowd out those of a short one.
func TestMergeShapes(t *testing.T) {
	a, b := wave(maxWindows).Profile(), wave(maxWindows).Profile()
	b.Shape.Strands = b.Shape.Strands[:1]
	m, err := Merge([]*Profile{a, b})
	if err != nil {
		t.Fatal(err)
	}
	if n := m.Shape.Windows(); n != maxWindows {
		t.Errorf("%d windows", n)
	}
	if err := m.check(); err != nil {
		t.Error(err)
	}
}
