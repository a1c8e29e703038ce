package state

// Stats are the table's counters; the names in the comments are Falco's.
type Stats struct {
	Threads         uint64 // n_threads: entries now
	Added           uint64 // n_added_threads
	Removed         uint64 // n_removed_threads
	DropsFull       uint64 // n_drops_full_threadtable: not kept, the table was full
	LookupsCached   uint64 // n_cached_thread_lookups: of the same process as the event before
	LookupsUncached uint64 // n_noncached_thread_lookups
	LookupsFailed   uint64 // n_failed_thread_lookups: not in the table, and /proc had nothing

	Fetched    uint64 // read from /proc because an event had been lost or was older than the sensor
	Purged     uint64 // removed because they had gone without an exit event
	Containers uint64 // entries now
}

// Stats returns the counters.
func (t *Table) Stats() Stats {
	s := t.stats
	s.Threads = uint64(t.live)
	s.Containers = uint64(t.containers.Len())
	return s
}
