package bench

import (
	"fmt"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/human"
)

// maxRounds bounds the rounds of one --rate.
const maxRounds = 1000

// ParseRates reads the rates of a series of rounds: "5k", "1k,2k,5k",
// "ramp 1k..50k x2" (factor) or "ramp 1k..5k +500" (step). The end of a ramp
// is part of it. Suffixes are k and M.
func ParseRates(s string) ([]float64, error) {
	if rest, ok := strings.CutPrefix(strings.TrimSpace(s), "ramp "); ok {
		return parseRamp(rest)
	}
	var rates []float64
	for part := range strings.SplitSeq(s, ",") {
		r, err := human.ParseRate(part)
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
	low, err := human.ParseRate(from)
	if err != nil {
		return nil, err
	}
	high, err := human.ParseRate(to)
	if err != nil {
		return nil, err
	}
	var next func(float64) float64
	switch by, err := human.ParseRate(fields[1][1:]); {
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
		return nil, fmt.Errorf("ramp %q: expected TO above FROM", s)
	}
	var rates []float64
	for r := low; r < high*(1-1e-9); r = next(r) {
		if rates = append(rates, r); len(rates) == maxRounds {
			return nil, fmt.Errorf("ramp %q: more than %d rounds", s, maxRounds)
		}
	}
	return append(rates, high), nil
}
