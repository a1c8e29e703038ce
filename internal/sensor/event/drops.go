package event

// Drops counts lost events by cause and category: the one shape that loss has
// from the probe to the statistics.
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
