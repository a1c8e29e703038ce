// Package human reads and writes numbers as people do: one way to write each
// kind, and one way to read it. Each reader reads the output of its writer.
//
//	number    8674, 150K, 1.2M     Number, ParseNumber, ParseRate
//	count     12,345               Count
//	size      27.1 MiB             Size
//	quantity  512Mi                Quantity, ParseSize
//	CPUs      0.5                  CPUs, ParseCPUs
//	duration  3.15 ms              Duration, ParseDuration
//	share     0.1 %                Share, ParseShare
//
// Formats that belong to others (Falco's metrics, event-generator's lines,
// CSV and JSON) stay with those who write them.
package human

import (
	"math"
	"strconv"
	"strings"
)

// significant prints x with three digits that count and no trailing zeros; a
// large x keeps all digits before the point.
func significant(x float64) string {
	if x == 0 || math.IsInf(x, 0) || math.IsNaN(x) {
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	// The exponent after rounding: 9.996 has three digits as 10.0, not 9.996.
	text := strconv.FormatFloat(x, 'e', 2, 64)
	exponent, _ := strconv.Atoi(text[strings.IndexByte(text, 'e')+1:])
	text = strconv.FormatFloat(x, 'f', max(0, 2-exponent), 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

// decimal reads a plain decimal number: no hexadecimal, infinity or NaN.
func decimal(s string) (x float64, ok bool) {
	if s == "" || strings.Trim(s, "0123456789.eE+-") != "" {
		return 0, false
	}
	x, err := strconv.ParseFloat(s, 64)
	return x, err == nil
}

// unit is a suffix and its factor.
type unit struct {
	name  string
	worth float64
}

// scaled reads a number with one of the units, of which a longer one comes
// before its own ending.
func scaled(s string, units []unit) (x float64, name string, ok bool) {
	for _, u := range units {
		number, found := strings.CutSuffix(s, u.name)
		if !found {
			continue
		}
		if x, ok := decimal(strings.TrimSpace(number)); ok {
			return x * u.worth, u.name, !math.IsInf(x*u.worth, 0)
		}
	}
	return 0, "", false
}

// bars are the eighths of a character's height.
var bars = []rune(" ▁▂▃▄▅▆▇█")

// Sparkline draws values as bars, a character each, up to a peak. Any value
// above zero has a visible bar, NaN has none.
func Sparkline(values []float64, peak float64) string {
	var b strings.Builder
	for _, x := range values {
		level := 0
		if x > 0 && peak > 0 {
			level = min(len(bars)-1, max(1, int(x/peak*float64(len(bars)-1)+0.5)))
		}
		b.WriteRune(bars[level])
	}
	return b.String()
}
