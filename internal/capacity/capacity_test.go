package capacity

import (
	"math"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func TestRoundDown(t *testing.T) {
	for x, want := range map[float64]float64{8674.2: 8600, 365098.75: 360000, 99: 99, 1.25: 1.2, 0: 0, 150e3: 150e3, 7000: 7000} {
		if got := RoundDown(x); math.Abs(got-want) > 1e-6 {
			t.Errorf("RoundDown(%v) = %v, want %v", x, got, want)
		}
	}
}

func TestParseLoad(t *testing.T) {
	for text, want := range map[string]Load{"alerts": AlertsOnly, "noise": NoiseOnly, "1:50": {Alerts: 1, Others: 50}, "0:1": {Others: 1}} {
		if got, err := ParseLoad(text); err != nil || got != want {
			t.Errorf("ParseLoad(%q) = %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "0:0", "1:-1", "1", "a:b", "NaN:1", "1:Inf"} {
		if got, err := ParseLoad(text); err == nil {
			t.Errorf("ParseLoad(%q) = %v, want an error", text, got)
		}
	}
	if a, n := (Load{Alerts: 1, Others: 49}).Split(1000); a != 20 || n != 980 {
		t.Errorf("1:49 of 1000 is %v and %v", a, n)
	}
}

func TestLimitString(t *testing.T) {
	for want, l := range map[string]Limit{
		"0.5 CPU, 512Mi":                  {0.5, 512 << 20},
		"2 CPU, 1Gi":                      {2, 1 << 30},
		"unlimited CPU, unlimited memory": {},
		"1 CPU, 1000B":                    {1, 1000},
	} {
		if got := l.String(); got != want {
			t.Errorf("%#v prints as %q, want %q", l, got, want)
		}
	}
}
