// Package event is the language between the kernel and the detection engine:
// the kinds of events, their parameters, and the bytes in which they travel.
//
// An event is produced by the probe (internal/sensor/probe) or by a capture
// file (internal/sensor/capture) and read through a View. A View borrows the
// memory of a ring: it, and every string or slice taken from it, is valid only
// until the next event is taken. Code that keeps a part copies it.
//
// schema.txt is the one description of all kinds; the Go tables and the C
// header of the probe are generated from it.
package event

//go:generate go run ../../../tools/schemagen
