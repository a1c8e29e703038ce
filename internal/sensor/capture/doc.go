// Package capture reads .scap files, as Falco and sysdig write them, and
// yields the same events as the probe. A capture holds system calls only: the
// Reader derives descriptors, current directories and credentials from earlier
// calls.
//
// The path of an event: blocks (blocks.go) of raw bytes are decoded by the
// table of event codes (codes.go, events.txt) into the parameters of one of our
// kinds (decode.go), which update the world of threads and descriptors
// (world.go, effects.go) and are then returned with the facts from that world
// (reader.go).
//
// Times are ns since the epoch. An event borrows the Reader's memory until the
// next one. A Writer makes captures for tests and for other tools.
package capture
