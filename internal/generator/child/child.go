// Package child implements the child processes of the generator: this binary,
// started under another identity, such as httpd that runs a shell, or a user
// without the right to setuid. The parent chooses the file name, arguments, user
// and environment, which rules examine. One environment variable contains the
// task, as a verb with arguments. A child reads nothing else, and ends at once or
// when its standard input ends.
//
// The exit status is 0 or the errno of the syscall that failed.
package child

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Variable is the environment variable that makes a child of this binary.
const Variable = "PEREGRINE_CHILD"

// separator is a byte that no path, name or argument here contains.
const separator = "\x1f"

// Task is a verb with its arguments, ready to be put into the environment.
type Task string

func task(words ...string) Task { return Task(strings.Join(words, separator)) }

// Env is the task as an environment entry.
func (t Task) Env() string { return Variable + "=" + string(t) }

// A task of this package runs here rather than in main, before packages that it
// does not need are initialised: Go initialises them by import path, each once
// its imports are, and this one imports little. With gRPC linked in that is a
// fifth of a child's time.
func init() {
	t := os.Getenv(Variable)
	words := strings.Split(t, separator)
	if verbs[words[0]] == nil {
		return
	}
	_ = os.Unsetenv(Variable) // it is not for our own children
	os.Exit(perform(words))
}

// Requested returns the task that this process was started for, "" for none,
// and removes it from the environment. Tasks of this package never get so far.
func Requested() Task {
	t := os.Getenv(Variable)
	if t != "" {
		_ = os.Unsetenv(Variable) // cannot fail: the name is not empty
	}
	return Task(t)
}

// perform performs a task and returns the exit status.
func perform(words []string) int {
	err := verbs[words[0]](words[1:])
	if err == nil {
		return 0
	}
	if errno, is := err.(unix.Errno); is {
		return int(errno)
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", words[0], err)
	return 255
}

var verbs = map[string]func([]string) error{
	"exit":        func([]string) error { return nil },
	"wait":        wait,
	"run":         run,
	"open":        openOnDemand,
	"traceme":     traceme,
	"setuid":      setuidRoot,
	"unshare":     unshare,
	"userfaultfd": userfaultfd,
	"connect":     connect,
	"listen":      listen,
	"receive":     receive,
}

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
