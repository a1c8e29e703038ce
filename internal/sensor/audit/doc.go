// Package audit is the other source of events: what the audit log of a
// Kubernetes API server tells, taken from its webhook or from files.
//
// A body is read into memory that is bounded over all senders, checked and
// indexed where it lies (package record), and handed to the Engine, one body at
// a time. Its sender gets the answer when every event of it has been matched.
// So a slow engine makes senders wait, and refuses them after a while: nothing
// queues, and nothing that was answered with 200 is lost.
package audit
