package page

import (
	"math"
	"strconv"
)

// Chart is a figure with lines over a common x.
type Chart struct {
	ID      string `json:"id"`
	Caption string `json:"-"`
	Label   string `json:"-"` // for screen readers
	Wide    bool   `json:"-"`
	Height  int    `json:"height"` // pixels
	X       Axis   `json:"x"`
	Y       Axis   `json:"y"`
	Lines   []Line `json:"lines"`
	Spans   []Span `json:"spans,omitempty"`
	Marks   []Mark `json:"marks,omitempty"`
	Live    bool   `json:"live,omitempty"` // points are added while it is shown
}

// Unit is how values of an axis are written.
type Unit string

// The units. A percentile p is at 1/(1-p), which on a logarithmic axis gives
// each further nine the same width.
const (
	Plain      Unit = "" // 1.5K
	Seconds    Unit = "s"
	Millis     Unit = "ms" // also written as µs or s
	Percent    Unit = "%"
	Mebibytes  Unit = "MiB"
	Percentile Unit = "percentile"
)

// Axis is one of the two.
type Axis struct {
	Label string  `json:"label,omitempty"`
	Unit  Unit    `json:"unit"`
	Log   bool    `json:"log,omitempty"`
	Least float64 `json:"least,omitempty"` // of y: it goes up to there at least
	// Values are those of x, rising: see Add.
	Values Values `json:"values"`
}

// Line is one of a chart. Colors are names in page.css, without the dashes.
type Line struct {
	Name   string `json:"name"`
	Color  string `json:"color"`
	Dash   []int  `json:"dash,omitempty"` // lengths of dash and gap, in pixels
	Fill   string `json:"fill,omitempty"` // color of the area below
	Dots   bool   `json:"dots,omitempty"`
	Join   bool   `json:"join,omitempty"` // across gaps
	Values Values `json:"values"`
}

// Dashed and Dotted are dashes of lines.
var Dashed, Dotted = []int{6, 4}, []int{2, 3}

// Span is a part of x that is shaded, for good or bad.
type Span struct {
	From float64 `json:"from"`
	To   float64 `json:"to"`
	Good bool    `json:"good"`
}

// Mark is a line across the chart at an x or a y, with its name and value.
type Mark struct {
	Name  string   `json:"name"`
	Color string   `json:"color"`
	X     *float64 `json:"x,omitempty"`
	Y     *float64 `json:"y,omitempty"`
}

// Add adds a point: a value for each line, NaN for none. An x that is not above
// the one before is moved right behind it; one that is not finite is left out.
func (c *Chart) Add(x float64, values ...float64) {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return
	}
	if n := len(c.X.Values); n > 0 && x <= c.X.Values[n-1] {
		last := c.X.Values[n-1]
		x = last + max(math.Abs(last)*1e-9, 1e-9)
	}
	c.X.Values = append(c.X.Values, x)
	for i, v := range values {
		c.Lines[i].Values = append(c.Lines[i].Values, v)
	}
}

// Empty says that no line has a value.
func (c *Chart) Empty() bool {
	for _, l := range c.Lines {
		for _, v := range l.Values {
			if !math.IsNaN(v) {
				return false
			}
		}
	}
	return true
}

// Values are numbers of which some may not be finite: gaps.
type Values []float64

// MarshalJSON writes gaps as null.
func (v Values) MarshalJSON() ([]byte, error) {
	b := []byte{'['}
	for i, x := range v {
		if i > 0 {
			b = append(b, ',')
		}
		if math.IsNaN(x) || math.IsInf(x, 0) {
			b = append(b, "null"...)
			continue
		}
		b = strconv.AppendFloat(b, x, 'g', -1, 64)
	}
	return append(b, ']'), nil
}
