// Package falcoapi contains the protocol of the gRPC services that Falco had
// until 0.43, rewritten from the names and numbers on the wire. The sensor serves
// it (outputs), and bench reads it (intake). The generated packages
// schema, outputs and version are committed, so that building needs only Go.
package falcoapi

//go:generate sh generate.sh
