package child

import (
	"net/netip"
	"strconv"
)

// Exit does nothing: being started is the action.
func Exit() Task { return task("exit") }

// Wait sleeps until it is killed or its standard input ends.
func Wait() Task { return task("wait") }

// Run starts path with the given arguments (argv[0] first), waits for it and
// exits with its status.
func Run(path string, argv ...string) Task { return task(append([]string{"run", path}, argv...)...) }

// OpenOnDemand opens and closes path for each byte on standard input, and
// answers each with the errno as one byte on standard output.
func OpenOnDemand(path string) Task { return task("open", path) }

// TraceMe asks to be traced by its parent.
func TraceMe() Task { return task("traceme") }

// SetuidRoot tries to become root, and must not be able to.
func SetuidRoot() Task { return task("setuid") }

// Unshare calls unshare(2) with flags that need no privilege.
func Unshare() Task { return task("unshare") }

// Userfaultfd makes a userfaultfd and closes it.
func Userfaultfd() Task { return task("userfaultfd") }

// Connect connects a socket, "tcp" or "udp", to an address and closes it; it
// does not wait for a TCP connection to be established.
func Connect(network string, to netip.AddrPort) Task { return task("connect", network, to.String()) }

// Listen listens on a TCP port that the kernel picks.
func Listen(on netip.Addr) Task { return task("listen", on.String()) }

// Receive sends content to itself by UDP on loopback and reads it.
func Receive(content []byte) Task { return task("receive", strconv.Quote(string(content))) }
