package condition

import (
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

type figures struct{ n, share, wait, size float64 }

func of(f func(*figures) float64) func(*figures) (float64, bool) {
	return func(x *figures) (float64, bool) { return f(x), f(x) >= 0 }
}

var metrics = Metrics[figures]{
	"n":     Number(of(func(f *figures) float64 { return f.n })),
	"share": Share(of(func(f *figures) float64 { return f.share })),
	"wait":  Duration(of(func(f *figures) float64 { return f.wait })),
	"size":  Size(of(func(f *figures) float64 { return f.size })),
}

func TestEval(t *testing.T) {
	x := figures{n: 5000, share: 0.001, wait: 50e6, size: 64 << 20}
	for text, want := range map[string]bool{
		"n>5k": false, "n >= 5k": true, "n<5001": true, "n<=4999": false, "n==5000": true, "n!=5k": false,
		"share>0.1%": false, "share >= 0.001": true, "wait>49ms": true, "wait<0.05s": false, "size==64MiB": true,
	} {
		c, err := Parse(text, metrics)
		if err != nil {
			t.Error(err)
			continue
		}
		if _, holds, known := c.Eval(&x); holds != want || !known {
			t.Errorf("%s: %v, %v", text, holds, known)
		}
	}
	c, err := Parse("n>=0", metrics)
	if err != nil {
		t.Fatal(err)
	}
	if _, holds, known := c.Eval(&figures{n: -1}); holds || known {
		t.Error("a figure that is not known is compared")
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":         "expected a metric, a comparison and a value",
		"n":        "expected a metric",
		"m>1":      "expected one of n, share, size, wait",
		"n=1":      "unknown comparison",
		"n>many":   "expected a number",
		"wait>50":  "50s?", // it was 50 ns, silently
		"size>512": "512Mi?",
		"share>":   "expected percent",
	} {
		if _, err := Parse(text, metrics); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("n>5k")
	f.Add("size!=")
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := Parse(s, metrics); err == nil {
			c.Eval(&figures{})
		}
	})
}
