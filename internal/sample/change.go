package sample

import "slices"

// Change says how one measurement compares with an earlier one.
type Change string

// The changes, from good to bad.
const (
	Better  Change = "better"
	Same    Change = "same"
	Unsure  Change = "inconclusive"
	Missing Change = "missing"
	Worse   Change = "worse"
)

var fromGoodToBad = []Change{Better, Same, Unsure, Missing, Worse}

// Worst is the worse of two changes: a comparison is as good as its worst row.
func Worst(a, b Change) Change {
	return fromGoodToBad[max(slices.Index(fromGoodToBad, a), slices.Index(fromGoodToBad, b))]
}
