package from

import (
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/profile"
	"github.com/peregrine-sec/peregrine/internal/sensor/capture"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/test/support/corpus"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// A profile counts each syscall of a capture once.
func TestCapture(t *testing.T) {
	for _, path := range corpus.Captures(t) {
		want := syscalls(t, path)
		p, err := Capture(path)
		if want == 0 {
			if err == nil {
				t.Errorf("%s has no syscalls, and a profile", path)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if got := p.Rate * p.Seconds; math.Abs(got-want) > 0.01*want+1 {
			t.Errorf("%s: %g syscalls, want %g", path, got, want)
		}
		var shape float64
		for _, n := range p.Shape.Totals() {
			shape += n
		}
		if p.Shape.Windows() < 1200 && shape != want {
			t.Errorf("%s: %g syscalls in the shape, want %g", path, shape, want)
		}
		if len(p.Source.Assumed) == 0 || p.Source.Kind != profile.FromCapture {
			t.Errorf("%s: %+v", path, p.Source)
		}
	}
}

// syscalls counts them the plain way.
func syscalls(t *testing.T, path string) (n float64) {
	t.Helper()
	r, err := capture.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		raw, err := r.Next()
		var cut *capture.FormatError
		if err == io.EOF || errors.As(err, &cut) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		var v event.View
		if err := v.Reset(raw); err != nil {
			t.Fatal(err)
		}
		if v.Header().Syscall != event.NoSyscall {
			n++
		}
	}
}

// A gap is a time without calls; an event that is late is not lost.
func TestGaps(t *testing.T) {
	c := &captured{builder: profile.NewBuilder(), counts: map[key]float64{}}
	for _, ms := range []uint64{1000, 1050, 1500, 1490, 1510} {
		if err := c.add(&event.Header{Time: ms * uint64(time.Millisecond)}); err != nil {
			t.Fatal(err)
		}
	}
	c.flush()
	p := c.builder.Profile()
	if got := p.Shape.Strands[0].Counts; len(got) != 6 || got[0] != 2 || got[1] != 0 || got[5] != 3 {
		t.Errorf("%v", got)
	}
	if err := c.add(&event.Header{Time: uint64(48 * time.Hour)}); err == nil {
		t.Error("two days are accepted")
	}
}

func TestNoCapture(t *testing.T) {
	if _, err := Capture("/nowhere.scap"); err == nil {
		t.Error("no error")
	}
}

func TestRates(t *testing.T) {
	p, err := Rates(map[string][]float64{"a": {1000, 3000}, "b": {0, 0}}, 5*time.Second, profile.FromPrometheus)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(p.Rate-1000) > 1 || p.Seconds != 20 || p.Source.Nodes != 2 || len(p.Source.Assumed) != 3 {
		t.Errorf("%g/s in %g s, %+v", p.Rate, p.Seconds, p.Source)
	}
	if math.Abs(p.Bursts.Second.Max-3000) > 5 {
		t.Errorf("up to %g/s", p.Bursts.Second.Max)
	}
	for name, nodes := range map[string]map[string][]float64{"none": {}, "empty": {"a": nil}} {
		if _, err := Rates(nodes, time.Second, profile.FromMetrics); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := Rates(map[string][]float64{"a": {1}}, time.Millisecond, profile.FromMetrics); err == nil {
		t.Error("windows of a millisecond")
	}
}

// A day is the most, and more is refused before it takes its time.
func TestRatesBounded(t *testing.T) {
	for every, rates := range map[time.Duration][]float64{math.MaxInt64: {1}, longest + 1: {1}, longest/2 + 1: {1, 1}} {
		if _, err := Rates(map[string][]float64{"a": rates}, every, profile.FromMetrics); err == nil || !strings.Contains(err.Error(), "more than 24h") {
			t.Errorf("%d rates of %v each: %v", len(rates), every, err)
		}
	}
}
