package action

import (
	"path/filepath"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/profile"
)

// A file is as deep as asked for, as far as the directory allows, by the path that
// a call gives.
func TestUnder(t *testing.T) {
	for _, tt := range []struct {
		relative bool
		depth    int
		want     named
	}{
		{false, 0, named{"/tmp/x/w0/open/f", "/tmp/x/w0/open/f"}},
		{false, 7, named{"/tmp/x/w0/open/d/d/f", "/tmp/x/w0/open/d/d/f"}},
		{true, 1, named{"/tmp/x/w0/open/f", "w0/open/f"}},
		{true, 5, named{"/tmp/x/w0/open/d/d/f", "w0/open/d/d/f"}},
	} {
		if got := under("/tmp/x/w0/open", "f", "/tmp/x", tt.relative, tt.depth); got != tt.want {
			t.Errorf("%v, depth %d: %+v, want %+v", tt.relative, tt.depth, got, tt.want)
		}
	}
}

// However deep a profile says that paths are, the kernel takes those of a replay.
func TestPathsAreNotTooDeep(t *testing.T) {
	deep := &profile.Quantiles{P50: 1e4, P99: 1e6, Max: 1e300}
	like := &profile.Profile{Paths: &profile.Paths{Distinct: 1, Sampled: 2, Relative: 0.5, Depth: deep}}
	a, _ := Lookup(Replayed("openat", false))
	r, err := a.Prepare(Env{Scratch: filepath.Join(t.TempDir(), "w0"), Prefix: "x", Like: like, Disposable: true})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := r.Run(); err != nil {
			t.Error(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// What takes turns has the recorded distribution.
func TestQuantile(t *testing.T) {
	like := &profile.Quantiles{P50: 5, P99: 20, Max: 40}
	for at, want := range map[float64]float64{0: 1, 0.25: 3, 0.5: 5, 0.99: 20, 1: 40} {
		if got := quantile(like, at); got != want {
			t.Errorf("at %g: %g, want %g", at, got, want)
		}
	}
	for _, by := range []float64{golden, silver} {
		below := 0
		for i := range variants {
			if scattered(i, by) < 0.5 {
				below++
			}
		}
		if below < variants/2-2 || below > variants/2+2 {
			t.Errorf("%d of %d are below one half", below, variants)
		}
	}
}
