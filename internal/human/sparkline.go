package human

import "strings"

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
