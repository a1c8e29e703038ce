package generator

import (
	"maps"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// twoStrands is a mix of three actions: the first two share a strand.
func twoStrands() *Mix {
	return &Mix{Each: 100 * time.Millisecond, Rates: [][]float64{{1000, 0, 500}, {0, 2000, 500}}, Strands: []int{0, 0, 1}, Shares: []float64{0.9, 0.1, 1}}
}

// In each step every action is done as often as the mix says, to within two.
func TestMixPicker(t *testing.T) {
	m := twoStrands()
	p := newMixPicker(m)
	counts := [3][3]float64{}
	const rounds = 10
	for n := uint64(0); ; n++ {
		due := p.series.Due(n)
		if due >= rounds*300*time.Millisecond {
			break
		}
		counts[p.series.Step(due)][p.at(n)]++
	}
	want := [3][3]float64{{90, 10, 0}, {0, 0, 200}, {45, 5, 50}}
	for step := range counts {
		for a := range counts[step] {
			if got := counts[step][a]; math.Abs(got-rounds*want[step][a]) > 2*rounds {
				t.Errorf("step %d, action %d: %g times, want %g", step, a, got, rounds*want[step][a])
			}
		}
	}
}

// A place goes to an action that has a rate in its step, whatever is idle.
func TestMixPickerIdleStep(t *testing.T) {
	m := twoStrands()
	m.Rates[0][0] = 0 // the first step is idle, the last has both strands
	timed := *m
	timed.Timed = []Timing{Host, Even}
	for name, m := range map[string]*Mix{
		"the first strand has no actions": m.of([]int{2}), "an idle step": m, "timed": &timed,
		"one in each step": {Each: m.Each, Rates: [][]float64{{1, 0, 0}, {0, 1, 0}}, Strands: m.Strands, Shares: m.Shares},
	} {
		p := newMixPicker(m)
		for n := range uint64(500) {
			a, step := p.at(n), p.series.Place(n).Step
			if m.Rates[m.Strands[a]][step] == 0 {
				t.Errorf("%s: place %d, in step %d, has action %d", name, n, step, a)
			}
		}
	}
}

// Actions with times of their own are due at the start of their step, or in its
// clumps, those of the host and of containers each.
func TestMixTimed(t *testing.T) {
	m := twoStrands()
	m.Rates[0] = []float64{25, 0, 25} // 2.5 each
	m.Timed = []Timing{Container, Even}
	m.Clumps[1] = []uint16{0, 1, 1<<2 | 1<<7}
	m.Clumps[0] = []uint16{1 << 5, 1 << 5, 1 << 5}
	p := newMixPicker(m)
	due := map[time.Duration]int{}
	for n := range uint64(1000) {
		if at := p.series.Due(n).Round(time.Microsecond); p.at(n) < 2 && at < 600*time.Millisecond {
			due[at/time.Millisecond]++
		}
	}
	if want := map[time.Duration]int{0: 3, 220: 1, 270: 1, 300: 3, 520: 1, 570: 1}; !maps.Equal(due, want) {
		t.Errorf("due after %v ms, want %v", due, want)
	}
}

// Parts of a mix are the whole together.
func TestMixParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &Mix{Each: time.Second}
		for range rapid.IntRange(1, 4).Draw(t, "strands") {
			m.Rates = append(m.Rates, rapid.SliceOfN(rapid.Float64Range(1, 1000), 3, 3).Draw(t, "rates"))
			n := rapid.IntRange(1, 4).Draw(t, "actions")
			for range n {
				m.Strands = append(m.Strands, len(m.Rates)-1)
				m.Shares = append(m.Shares, 1/float64(n))
			}
		}
		var parts [2][]int
		for a := range m.Strands {
			side := rapid.IntRange(0, 1).Draw(t, "side")
			parts[side] = append(parts[side], a)
		}
		for step := range 3 {
			of := func(m *Mix, a int) float64 { return m.Rates[m.Strands[a]][step] * m.Shares[a] }
			for _, part := range parts {
				small := m.of(part)
				if err := small.check(len(part)); err != nil {
					t.Fatal(err)
				}
				for i, a := range part {
					if got, want := of(small, i), of(m, a); math.Abs(got-want) > 1e-6*want {
						t.Fatalf("action %d: %g/s in its part, %g/s in the whole", a, got, want)
					}
				}
			}
		}
	})
}

func TestMixChecks(t *testing.T) {
	for name, change := range map[string]func(*Mix){
		"ragged":       func(m *Mix) { m.Rates[1] = m.Rates[1][:2] },
		"timing":       func(m *Mix) { m.Timed = []Timing{Host} },
		"no strand":    func(m *Mix) { m.Strands[2] = 2 },
		"share":        func(m *Mix) { m.Shares[0] = 2 },
		"short":        func(m *Mix) { m.Shares = m.Shares[:1] },
		"nothing due":  func(m *Mix) { m.Rates = [][]float64{{0}, {0}} },
		"no rates":     func(m *Mix) { m.Rates = nil },
		"not a number": func(m *Mix) { m.Rates[0][0] = math.NaN() },
	} {
		o := Options{Actions: []Choice{{Name: "noise.Stat"}, {Name: "noise.Mmap"}, {Name: "noise.Cheap"}}, Mix: twoStrands()}
		if err := o.Check(); err != nil {
			t.Fatal(err)
		}
		change(o.Mix)
		if o.Check() == nil {
			t.Errorf("%s: passes", name)
		}
	}
}
