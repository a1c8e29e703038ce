/* SPDX-License-Identifier: Apache-2.0 */
/* The rings, and counters of what became of every event. */
#pragma once
#include "bpf.h"
#include "schema.h"

#define FAMILY_ROWS 16
#define FATE_COLUMNS 4

_Static_assert(FAMILIES <= FAMILY_ROWS && FATES <= FATE_COLUMNS, "tallies");

/* Events, and the time that they took while that is measured. */
struct tally {
	u64 events, ns;
};

/* The rings and what was lost in front of them. seen = the sum of the tallies;
 * those of dropped events are the sum of drops; on every CPU. What is told late
 * (untold.h) counts twice: as filtered, and when it is told. */
struct counters {
	u64 seen;
	/* By the family of the program, or FAMILY_NONE for the scheduler's. */
	struct tally tallies[FAMILY_ROWS][FATE_COLUMNS];
	u64 drops[DROP_CAUSES][DROP_CATEGORIES];
	u64 faults;  /* parameters in user memory that could not be read */
	u64 foreign; /* syscalls of an ABI that is not translated; not in seen */
	u64 stale_masks; /* calls of processes that have changed since their mask was written */
} __attribute__((aligned(64)));

struct ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
};

extern struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1); /* set at load */
	__type(key, u32);
	__array(values, struct ring);
} rings SEC(".maps");

extern struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* CPUs; set at load */
	__type(key, u32);
	__type(value, struct counters);
} counts SEC(".maps");

INLINE struct counters *counters_get(void)
{
	u32 cpu = bpf_get_smp_processor_id();
	return bpf_map_lookup_elem(&counts, &cpu);
}

INLINE struct tally *tally_of(struct counters *c, u32 family, u32 fate)
{
	return &c->tallies[BOUND(family, FAMILY_ROWS - 1)][fate & (FATE_COLUMNS - 1)];
}

/* An event that is lost before it has begun. */
INLINE void count_lost(struct counters *c, u32 family, u32 cause, u32 category)
{
	c->drops[cause & 3][category & 7]++;
	tally_of(c, family, DROPPED)->events++;
}

INLINE void count_fault(void)
{
	struct counters *c = counters_get();
	if (c)
		c->faults++;
}
