// Package capture reads .scap files, as Falco and sysdig write them, and
// yields the same events as the probe: it plays the kernel's part. A capture
// tells of system calls only; what a descriptor is, which directory a path is
// relative to and who the caller is, the Reader knows from the calls before.
//
// The way of an event: blocks (blocks.go) of raw bytes, decoded by the table
// of event codes (codes.go, events.txt) into the parameters of one of our
// kinds (decode.go), which change the world of threads and descriptors
// (world.go, effects.go) and are then sent on with what that world knows
// (reader.go).
//
// Times are ns since the epoch. An event borrows the Reader's memory until the
// next one. A Writer makes captures for tests and for other tools.
package capture
