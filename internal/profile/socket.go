package profile

import (
	"cmp"
	"slices"
)

// NewSockets makes shares of counts: a Socket without a share, and how often it
// was seen.
func NewSockets(counts map[Socket]float64) []Socket {
	var sum float64
	for _, n := range counts {
		sum += n
	}
	shares := map[Socket]float64{}
	for s, n := range counts {
		shares[s] = n / sum
	}
	return sortedSockets(shares)
}

func sortedSockets(shares map[Socket]float64) []Socket {
	var list []Socket
	for s, share := range shares {
		s.Share = round(share)
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b Socket) int {
		return cmp.Or(cmp.Compare(b.Share, a.Share), cmp.Compare(a.Call, b.Call), cmp.Compare(a.Family, b.Family),
			cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Locality, b.Locality))
	})
	return list
}

// NewQuantiles sums samples up, which it sorts; nil for none.
func NewQuantiles(samples []float64) *Quantiles {
	if len(samples) == 0 {
		return nil
	}
	slices.Sort(samples)
	at := func(q float64) float64 { return round(samples[int(q*float64(len(samples)-1))]) }
	return &Quantiles{P50: at(0.5), P99: at(0.99), Max: at(1)}
}
