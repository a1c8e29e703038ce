package state

import "time"

// Redate moves the times of the processes by d, when the time of day has been
// set by d: they are kept in ns since the epoch, and happened at other ones by
// the new time, as /proc would tell it.
func (t *Table) Redate(d time.Duration) {
	t.redated += d
	for _, p := range t.processes {
		for _, at := range []*uint64{&p.ForkTime, &p.ExecTime, &p.PIDNSStart} {
			if *at != 0 {
				*at += uint64(d)
			}
		}
		t.changed(p) // its descendants are in the table, too
	}
}

// Redated is the sum of all steps of the time of day. The probe reports some
// times in ns since the epoch, by the time of day at which it was loaded: by
// the present time of day they are later, or earlier, by this much.
func (t *Table) Redated() time.Duration { return t.redated }
