// Package falcoapi holds the protocol of the gRPC services that Falco had
// until 0.43, written anew from the names and numbers on the wire: the sensor
// serves it (outputs) and the bench reads it (intake). The generated packages
// schema, outputs and version are committed, so that building needs only Go.
package falcoapi

//go:generate sh generate.sh
