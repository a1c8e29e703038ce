package runtimes

import "time"

// told records the containers that a connection has delivered, so that the list
// at its start and questions, which overlap, do not ask for the same containers
// again: on a busy node alerts wait for the last of them.
type told struct {
	pending map[string]bool // listed, and not delivered since
	recent  map[string]time.Time
}

func newTold(listed []string) told {
	t := told{make(map[string]bool, len(listed)), make(map[string]time.Time)}
	for _, id := range listed {
		t.pending[id] = true
	}
	return t
}

func (t *told) note(id string, at time.Time) {
	delete(t.pending, id)
	if len(t.recent) >= maxListed {
		clear(t.recent) // at worst they are asked for again
	}
	t.recent[id] = at
}

// open returns the ids of a question that have not been delivered since it
// arose. It forgets earlier deliveries: no later question is older.
func (t *told) open(q question) []string {
	for id, at := range t.recent {
		if at.Before(q.at) {
			delete(t.recent, id)
		}
	}
	var open []string
	for _, id := range q.ids {
		if _, is := t.recent[id]; !is {
			open = append(open, id)
		}
	}
	return open
}
