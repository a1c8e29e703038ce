// Package kubernetes measures the capacity of a sensor that a DaemonSet runs,
// on a node or on several, and leaves the cluster as it was.
//
// The sensor's pod on the node is replaced by a copy that differs in its limit
// and in where its alerts go. It gets further CPU limits by a resize in place
// if the cluster supports that; otherwise another copy gets them. A copy
// belongs to the DaemonSet, whose controller therefore takes it for the node's
// own pod and starts no other. The DaemonSet and the pods of other nodes are
// not touched. A Job on the node then runs "peregrine capacity run" against the
// copy, for this one limit, and writes its result to its log.
//
// Restoring means deleting the copy: the controller makes the pod of its
// template again. Kubernetes does that by itself if the run cannot, because a
// copy has a deadline.
package kubernetes
