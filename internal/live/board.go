package live

import (
	"fmt"

	"github.com/peregrine-sec/peregrine/internal/page"
)

// Board is the dashboard of a run: each line of its charts is a figure that
// changes. The lines hold no values.
type Board struct {
	Title  string
	Charts []page.Chart
}

// Update is a moment of a run: a value for each line, in the order of the
// charts; NaN for unknown ones.
type Update struct {
	Phase  string
	Values page.Values
}

// moment is an Update as the page gets it.
type moment struct {
	Seconds float64     `json:"t"` // since the page was opened
	Phase   string      `json:"phase"`
	Values  page.Values `json:"values"`
}

// charts are those of the page.
func (b Board) charts() []page.Chart {
	var all []page.Chart
	for i, c := range b.Charts {
		c.ID, c.Height, c.Live, c.Label = fmt.Sprintf("chart-%d", i), 220, true, c.Caption
		c.X = page.Axis{Unit: page.Seconds}
		all = append(all, c)
	}
	return all
}
