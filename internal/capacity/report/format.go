package report

import (
	"time"

	"github.com/peregrine-sec/peregrine/internal/human"
)

// none is how a report shows a missing measurement: a dash.
const none = "–"

func dash(x float64) string {
	if x == 0 {
		return none
	}
	return human.Number(x)
}

func mebi(bytes uint64) string {
	if bytes == 0 {
		return none
	}
	return human.Size(bytes)
}

func duration(ns int64) string {
	if ns == 0 {
		return none
	}
	return human.Duration(time.Duration(ns))
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown CPU"
	}
	return s
}
