// Package record is Kubernetes audit events as they come: JSON, checked and
// indexed in one pass, and read in place from then on. No tree is built, and
// nothing is allocated for an event.
//
// It has a reader of JSON of its own because none at hand does all of that:
// bounded depth, the grammar to the letter, the last of several equal keys as
// the API server takes it, and values that stay where they are.
package record
