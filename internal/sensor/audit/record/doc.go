// Package record holds Kubernetes audit events as JSON text, checked and
// indexed in one pass, and read in place from then on. No tree is built, and
// nothing is allocated for an event.
//
// It has its own JSON reader because no library does all of this: bounded
// depth, the exact grammar, the last of several equal keys like the API server,
// and values read in place.
package record
