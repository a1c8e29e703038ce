// Package runtimes tests the sensor's metadata of containers with real
// runtimes: Debian's dockerd, Podman and containerd, each started by the test
// with its state in a directory of its own, running images that the test made.
package runtimes
