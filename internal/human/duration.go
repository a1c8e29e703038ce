package human

import (
	"fmt"
	"strings"
	"time"
)

// Duration writes a length of time with three digits that count, and from a
// minute on in whole seconds: "850 ns", "12.3 µs", "3.15 ms", "2.05 s",
// "1m30s".
func Duration(d time.Duration) string {
	x := float64(d.Abs())
	sign := ""
	if d < 0 {
		sign = "-"
	}
	switch {
	case d == 0:
		return "0 s"
	case x < 999.5:
		return sign + significant(x) + " ns"
	case x < 999.5e3:
		return sign + significant(x/1e3) + " µs"
	case x < 999.5e6:
		return sign + significant(x/1e6) + " ms"
	case x < 59.995e9:
		return sign + significant(x/1e9) + " s"
	}
	return d.Round(time.Second).String()
}

// ParseDuration reads a length of time of at least 0: "500ms", "3.15 ms",
// "1m30s". A number without a unit is an error, except 0.
func ParseDuration(s string) (time.Duration, error) {
	text := strings.ReplaceAll(strings.TrimSpace(s), " ", "")
	if x, ok := decimal(text); ok && x > 0 {
		return 0, fmt.Errorf("duration %q has no unit: did you mean %ss?", s, text)
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("duration %q: expected a length of time such as 500ms, 5s or 1m30s", s)
	}
	return d, nil
}
