package profile

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func strand(counts ...uint32) Shape {
	return Shape{Strands: []Strand{{Group: File, Counts: counts}}}
}

func TestSampleKeepsShort(t *testing.T) {
	s := strand(1, 2, 3)
	if got := s.Sample(10); !slices.Equal(got.Strands[0].Counts, []uint32{1, 2, 3}) {
		t.Error(got)
	}
}

// A sample has the mean and the peak of the whole, and whole seconds of it.
func TestSample(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seconds := rapid.SliceOfN(rapid.Uint32Range(0, 1000), 101, 300).Draw(t, "seconds")
		var counts []uint32
		for i, n := range seconds {
			for range perSecond {
				counts = append(counts, n)
			}
			counts[i*perSecond] += uint32(i) // tells seconds apart
		}
		whole := strand(counts...)
		sample := whole.Sample(100 * perSecond)
		kept := sample.Strands[0].Counts
		if len(kept) != 100*perSecond {
			t.Fatalf("%d windows", len(kept))
		}
		if slices.Max(kept) != slices.Max(counts) {
			t.Fatalf("peak %d, was %d", slices.Max(kept), slices.Max(counts))
		}
		last := -1
		for at := 0; at < len(kept); at += perSecond {
			of := slices.IndexFunc(seconds[last+1:], func(n uint32) bool { return n == kept[at+1] })
			if of < 0 {
				t.Fatal("a second that was not recorded, or out of order")
			}
			last += 1 + of
		}
		if was, is := mean(counts), mean(kept); math.Abs(was-is) > 0.02*was+12 {
			t.Fatalf("mean %g, was %g", is, was)
		}
	})
}

func mean(counts []uint32) float64 {
	var sum float64
	for _, n := range counts {
		sum += float64(n)
	}
	return sum / float64(len(counts))
}
