/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The maps and variables that headers declare and families share, each defined
 * once. Functions of headers are weak instead (bpf.h, FUNC), which the loader
 * refuses of maps.
 */
#include "addressfilter.h"
#include "counters.h"
#include "cwd.h"
#include "execfilter.h"
#include "filter.h"
#include "hooks.h"
#include "interest.h"
#include "mask.h"
#include "names.h"
#include "procmask.h"
#include "record.h"
#include "sock.h"
#include "submit.h"
#include "untold.h"

#define DEFINE(name) typeof(name) name

/* Defaults of what is fixed when the programs are loaded. */
DEFINE(cpus_per_ring) = 0;
DEFINE(snaplen) = 80;
DEFINE(drop_failed) = false;
DEFINE(has_group_dead) = false;
DEFINE(page_kib) = 4;
DEFINE(boot_epoch) = 0;

/* What changes while they run. */
DEFINE(hooks) = BY_SYS_EXIT;
DEFINE(interest);
DEFINE(reader_waits);
DEFINE(timed);

/* Events, and what is counted and kept of them. */
DEFINE(rings);
DEFINE(counts);
DEFINE(scratches);
DEFINE(marks);
DEFINE(datagram_roles);
DEFINE(process_names);
#ifndef NO_GLOBAL_FUNCTIONS
DEFINE(moved_dirs);
#endif

/* The rules. */
DEFINE(open_filters);
DEFINE(named_needs);
DEFINE(rule_masks);
DEFINE(host_groups);
DEFINE(process_masks);
DEFINE(port_rules);
DEFINE(network_rules);

#ifndef LEGACY
DEFINE(exec_secret) = {};
DEFINE(exec_epoch);
DEFINE(exec_filters);
DEFINE(unneeded_execs);
DEFINE(untold);
#endif
