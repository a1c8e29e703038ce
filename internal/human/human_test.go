package human

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func TestWritten(t *testing.T) {
	for want, got := range map[string]string{
		"0":        Number(0),
		"0.35":     Number(0.35),
		"12.4":     Number(12.36),
		"8674":     Number(8674.2),
		"9999":     Number(9999.4),
		"10K":      Number(9999.5),
		"150K":     Number(150_000),
		"43.4K":    Number(43371),
		"1M":       Number(999_500),
		"1.2M":     Number(1.2e6),
		"-1.5G":    Number(-1.5e9),
		"NaN":      Number(math.NaN()),
		"999":      Count(999),
		"12,345":   Count(12345),
		"-123,456": Count(-123456),

		"0 %":       Share(0),
		"12 %":      Share(0.1234),
		"100 %":     Share(1),
		"1.7 %":     Share(0.0166),
		"0.1 %":     Share(0.001),
		"0.92 %":    Share(0.0092),
		"0.00003 %": Share(3e-7),
		"-4.6 %":    Share(-0.046),
		"0 B":       Size(0),
		"1000 B":    Size(1000),
		"1 KiB":     Size(1024),
		"1 MiB":     Size(1<<20 - 1),
		"27.1 MiB":  Size(28416000),
		"1.5 GiB":   Size(3 << 29),
		"512Mi":     Quantity(512 << 20),
		"1024Ti":    Quantity(1 << 50),
		"268435457": Quantity(268435457),
		"100B":      Quantity(100),
		"0.5":       CPUs(0.5),
		"250m":      Millis(0.25),
		"0 s":       Duration(0),
		"850 ns":    Duration(850),
		"12.3 µs":   Duration(12345),
		"3.15 ms":   Duration(3150 * time.Microsecond),
		"2.05 s":    Duration(2050 * time.Millisecond),
		"-2 s":      Duration(-2 * time.Second),
		"1m30s":     Duration(90 * time.Second),
		"a.[2J x":   Text("a\x1b[2J\nx"),

		`falco -o 'a b' '' 'it'\''s'`: Command([]string{"falco", "-o", "a b", "", "it's"}),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestTexts(t *testing.T) {
	evil := "a\x1b[2J"
	v := struct {
		S string
		L []string
		M map[string]int
		P *string
		D map[string][]string
	}{evil, []string{evil}, map[string]int{evil: 1}, &evil, map[string][]string{"d": {evil}}}
	Texts(&v)
	if clean := "a.[2J"; v.S != clean || v.L[0] != clean || v.M[clean] != 1 || *v.P != clean || v.D["d"][0] != clean {
		t.Errorf("%+v, %q", v, *v.P)
	}
}

// reading makes the readers alike.
func reading[T ~int64 | ~float64](read func(string) (T, error)) func(string) (float64, error) {
	return func(s string) (float64, error) {
		x, err := read(s)
		return float64(x), err
	}
}

var readers = map[string]func(string) (float64, error){
	"number": reading(ParseNumber), "rate": reading(ParseRate), "size": reading(ParseSize),
	"CPUs": reading(ParseCPUs), "duration": reading(ParseDuration), "share": reading(ParseShare),
}

func TestRead(t *testing.T) {
	for _, tt := range []struct {
		kind, text string
		want       float64
	}{
		{"number", "0", 0}, {"number", " 2.5k ", 2500}, {"number", "150K", 150e3}, {"number", "1e3", 1000},
		{"rate", "0.5", 0.5}, {"rate", "1M", 1e6}, {"rate", "1G", 1e9},
		{"size", "512Mi", 512 << 20}, {"size", "512 MiB", 512 << 20}, {"size", "1.5Gi", 3 << 29}, {"size", "64MB", 64e6},
		{"size", "268435456", 1 << 28}, {"size", "0", 0}, {"size", "100B", 100},
		{"CPUs", "0.5", 0.5}, {"CPUs", "500m", 0.5}, {"CPUs", "2", 2},
		{"duration", "500ms", 500e6}, {"duration", "3.15 ms", 3.15e6}, {"duration", "1m30s", 90e9}, {"duration", "0", 0},
		{"share", "0.1%", 0.001}, {"share", "0.1 %", 0.001}, {"share", "0.001", 0.001},
	} {
		got, err := readers[tt.kind](tt.text)
		if err != nil || math.Abs(got-tt.want) > 1e-9*tt.want {
			t.Errorf("%s %q: %v, %v, want %v", tt.kind, tt.text, got, err, tt.want)
		}
	}
}

func TestReadErrors(t *testing.T) {
	for _, tt := range []struct{ kind, text, want string }{
		{"size", "512", "512Mi?"},
		{"size", "512m", "such as 512Mi"},
		{"size", "-1Gi", "such as 512Mi"},
		{"size", "1e30T", "such as 512Mi"},
		{"size", "8388608Ti", "such as 512Mi"}, // 2^63
		{"rate", "1.1G", "at most 1G"},
		{"duration", "5", "5s?"},
		{"duration", "-5s", "such as 500ms"},
		{"duration", "soon", "such as 500ms"},
		{"rate", "0", "above 0"},
		{"rate", "", "above 0"},
		{"rate", "0x10", "above 0"},
		{"rate", "inf", "above 0"},
		{"number", "-1", "such as 500"},
		{"number", "nan", "such as 500"},
		{"CPUs", "0", "above 0"},
		{"CPUs", "0.5Mi", "such as 0.5"},
		{"share", "-1%", "such as 0.1%"},
	} {
		if got, err := readers[tt.kind](tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %q: %v, %v, want an error with %q", tt.kind, tt.text, got, err, tt.want)
		}
	}
}

// Each reader reads the output of its writer, within the digits written.
func FuzzReadBack(f *testing.F) {
	for _, x := range []float64{0, 1, 0.35, 9999.5, 999.5e3, 1 << 20, 1 << 30, 123456789} {
		f.Add(x)
	}
	f.Fuzz(func(t *testing.T, x float64) {
		if !(x >= 0 && x < 1e15) || x > 0 && x < 1e-6 {
			t.Skip()
		}
		n := uint64(x)
		for _, tt := range []struct {
			kind, text string
			want, part float64 // part: how much of want the digits leave open
		}{
			{"number", Number(x), x, 0.006}, {"share", Share(x), x, 0.06}, {"CPUs", CPUs(x + 1), x + 1, 1e-9},
			{"size", Size(n), float64(n), 0.006}, {"size", Quantity(int64(n)), float64(n), 0},
			{"duration", Duration(time.Duration(n)), float64(n), 0.01},
		} {
			got, err := readers[tt.kind](tt.text)
			if err != nil || math.Abs(got-tt.want) > tt.part*tt.want+1e-9 {
				t.Errorf("%s %v is written %q, which is read as %v, %v", tt.kind, tt.want, tt.text, got, err)
			}
		}
	})
}

// Whatever is read is a number that can be used, or an error.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"5k", "512Mi", "1e999", "-0", "NaN", "1..2", "0x1p4", "5m", "%", " ", "1e-400k"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for kind, read := range readers {
			x, err := read(s)
			if err == nil && (x < 0 || math.IsInf(x, 0) || math.IsNaN(x)) {
				t.Errorf("%s %q is read as %v", kind, s, x)
			}
		}
		_ = Text(s)
	})
}

func TestWrap(t *testing.T) {
	for _, tt := range []struct {
		text  string
		width int
		want  string
	}{
		{"", 9, ""}, {" a  b\nc ", 9, "a b c"}, {"ab cd", 5, "ab cd"}, {"ab cd", 4, "ab|cd"},
		{"abcdef gh", 4, "abcdef|gh"}, {"ää öö üü", 5, "ää öö|üü"},
	} {
		if got := strings.Join(Wrap(tt.text, tt.width), "|"); got != tt.want {
			t.Errorf("%q at %d: %q, want %q", tt.text, tt.width, got, tt.want)
		}
	}
}
