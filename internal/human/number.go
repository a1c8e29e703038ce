package human

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// numberUnits are those of counts and rates. K is written as the method
// document writes it, and read in both cases.
var numberUnits = []unit{{"k", 1e3}, {"K", 1e3}, {"M", 1e6}, {"G", 1e9}, {"", 1}}

// Number writes a measured number or rate with three digits that count: 0.35,
// 12.4, 8674, 150K, 1.2M. Below ten thousand all digits before the point are
// kept.
func Number(x float64) string {
	switch a := math.Abs(x); {
	case a >= 999.5e6:
		return significant(x/1e9) + "G"
	case a >= 999.5e3:
		return significant(x/1e6) + "M"
	case a >= 9999.5:
		return significant(x/1e3) + "K"
	}
	return significant(x)
}

// ParseNumber reads a number that may be zero: "0", "500", "2.5k", "1M".
func ParseNumber(s string) (float64, error) {
	x, _, ok := scaled(strings.TrimSpace(s), numberUnits)
	if !ok || x < 0 {
		return 0, fmt.Errorf("number %q: expected a number such as 500, 2.5k or 1M", s)
	}
	return x, nil
}

// MaxRate is the highest rate that makes sense to ask for.
const MaxRate = 1e9

// ParseRate reads a number above zero, up to MaxRate: "0.5", "500", "2.5k", "1M".
func ParseRate(s string) (float64, error) {
	x, _, ok := scaled(strings.TrimSpace(s), numberUnits)
	if !ok || x <= 0 {
		return 0, fmt.Errorf("rate %q: expected a number above 0, such as 500, 2.5k or 1M", s)
	}
	if x > MaxRate {
		return 0, fmt.Errorf("rate %q: expected at most %s", s, Number(MaxRate))
	}
	return x, nil
}

// Count writes an exact count in groups of three digits: "12,345".
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Share writes a share of one in percent with two digits that count, so that a
// small one is never shown as none: "12 %", "0.1 %", "0.000030 %".
func Share(share float64) string {
	p := 100 * share
	decimals := 0
	for q := math.Abs(p); q != 0 && q < 9.95 && decimals < 9; q *= 10 {
		decimals++
	}
	text := strconv.FormatFloat(p, 'f', decimals, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text + " %"
}

// ParseShare reads a share of one, or percent: "0.001", "0.1%", "0.1 %".
func ParseShare(s string) (float64, error) {
	x, _, ok := scaled(strings.TrimSpace(s), []unit{{"%", 0.01}, {"", 1}})
	if !ok || x < 0 {
		return 0, fmt.Errorf("share %q: expected percent or a share of one, such as 0.1%% or 0.001", s)
	}
	return x, nil
}
