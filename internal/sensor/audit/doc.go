// Package audit is the other source of events: the audit log of a Kubernetes
// API server, received by webhook or read from files.
//
// A body is read into memory that is bounded over all senders, checked and
// indexed in place (package record), and handed to the Engine, one body at a
// time. The sender is answered when every event of the body has been matched.
// So a slow engine makes senders wait, and refuses them after a while: nothing
// queues, and no body answered with 200 is lost.
package audit
