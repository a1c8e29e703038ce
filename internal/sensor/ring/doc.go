// Package ring takes events out of BPF ring buffers, in the order of their
// time. It knows bytes and the time that each event starts with, nothing else.
//
// The kernel writes to several rings, one per group of CPUs; a Reader merges
// them. It works in batches: it reads the fill position of a ring once, and
// gives back consumed space once, since each costs more than an event. An event
// is borrowed ring memory: it is valid until the following call of Next.
//
// While events come in, the Reader looks at the rings every few hundred
// microseconds, and no program wakes it. When there are few, it waits for the
// next one, and says so in a word that the programs read.
package ring
