package bench

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// maxRounds bounds what one --rate may ask for.
const maxRounds = 1000

// ParseRates reads the rates of a series of rounds: "5k", "1k,2k,5k",
// "ramp 1k..50k x2" (factor) or "ramp 1k..5k +500" (step). The end of a ramp
// is part of it. Suffixes are k and M.
func ParseRates(s string) ([]float64, error) {
	if rest, ok := strings.CutPrefix(strings.TrimSpace(s), "ramp "); ok {
		return parseRamp(rest)
	}
	var rates []float64
	for _, part := range strings.Split(s, ",") {
		r, err := parseRate(part)
		if err != nil {
			return nil, err
		}
		rates = append(rates, r)
	}
	return rates, nil
}

func parseRamp(s string) ([]float64, error) {
	usage := fmt.Errorf("ramp %q: expected FROM..TO and xFACTOR or +STEP, as in \"ramp 1k..50k x2\"", s)
	fields := strings.Fields(s)
	if len(fields) != 2 || len(fields[1]) < 2 {
		return nil, usage
	}
	from, to, ok := strings.Cut(fields[0], "..")
	if !ok {
		return nil, usage
	}
	low, err := parseRate(from)
	if err != nil {
		return nil, err
	}
	high, err := parseRate(to)
	if err != nil {
		return nil, err
	}
	var next func(float64) float64
	switch by, err := parseRate(fields[1][1:]); {
	case err != nil:
		return nil, usage
	case fields[1][0] == 'x' && by > 1:
		next = func(r float64) float64 { return r * by }
	case fields[1][0] == '+':
		next = func(r float64) float64 { return r + by }
	default:
		return nil, usage
	}
	if low > high {
		return nil, fmt.Errorf("ramp %q: it must rise", s)
	}
	var rates []float64
	for r := low; r < high*(1-1e-9); r = next(r) {
		if rates = append(rates, r); len(rates) == maxRounds {
			return nil, fmt.Errorf("ramp %q: more than %d rounds", s, maxRounds)
		}
	}
	return append(rates, high), nil
}

// parseRate reads one rate: "500", "2.5k", "1M".
func parseRate(s string) (float64, error) {
	text, factor := strings.TrimSpace(s), 1.0
	switch {
	case strings.HasSuffix(text, "k"):
		text, factor = text[:len(text)-1], 1e3
	case strings.HasSuffix(text, "M"):
		text, factor = text[:len(text)-1], 1e6
	}
	r, err := strconv.ParseFloat(text, 64)
	if err != nil || r <= 0 || math.IsInf(r*factor, 0) || math.IsNaN(r) {
		return 0, fmt.Errorf("rate %q: expected a number above 0, such as 500, 2.5k or 1M", s)
	}
	return r * factor, nil
}
