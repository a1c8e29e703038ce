package event

import (
	"encoding/json"
	"fmt"
)

// Drops counts lost events by cause and category: the one shape that loss has
// from the probe to the statistics, the metrics and the status.
type Drops [NumDropCauses][NumDropCategories]uint64

// Total is the number of lost events.
func (d *Drops) Total() uint64 {
	var n uint64
	for cause := range d {
		n += d.Of(DropCause(cause))
	}
	return n
}

// Of is the number of events that were lost for one cause.
func (d *Drops) Of(cause DropCause) uint64 {
	var n uint64
	for _, c := range d[cause] {
		n += c
	}
	return n
}

// Add adds other to d.
func (d *Drops) Add(other *Drops) {
	for cause := range d {
		for category := range d[cause] {
			d[cause][category] += other[cause][category]
		}
	}
}

// Minus returns the losses since d was other.
func (d Drops) Minus(other Drops) Drops {
	for cause := range d {
		for category := range d[cause] {
			d[cause][category] -= other[cause][category]
		}
	}
	return d
}

// MarshalJSON writes the table by name: {"buffer": {"open": 3, ...}, ...}.
func (d Drops) MarshalJSON() ([]byte, error) {
	table := map[string]map[string]uint64{}
	for cause := range d {
		row := map[string]uint64{}
		for category, n := range d[cause] {
			row[DropCategory(category).String()] = n
		}
		table[DropCause(cause).String()] = row
	}
	return json.Marshal(table)
}

// UnmarshalJSON reads the output of MarshalJSON. It leaves out unknown names:
// the sensor may be newer.
func (d *Drops) UnmarshalJSON(b []byte) error {
	var table map[string]map[string]uint64
	if err := json.Unmarshal(b, &table); err != nil {
		return fmt.Errorf("drops: %w", err)
	}
	for cause := range d {
		for category := range d[cause] {
			d[cause][category] = table[DropCause(cause).String()][DropCategory(category).String()]
		}
	}
	return nil
}
