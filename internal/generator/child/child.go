// Package child is what this binary does when the generator starts it again
// as somebody else: as httpd that runs a shell, as a user that may not setuid.
// The parent picks file name, arguments, user and environment, which is what
// rules look at; one environment variable says what to do, in a verb with
// arguments. Nothing else is read, and every verb is over at once or when
// standard input ends.
//
// The exit status is 0 or the errno of the syscall that failed.
package child

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Variable is the environment variable that makes a child of this binary.
const Variable = "PEREGRINE_CHILD"

// separator is a byte that no path, name or argument of ours contains.
const separator = "\x1f"

// Task is a verb with its arguments, ready to be put into the environment.
type Task string

func task(words ...string) Task { return Task(strings.Join(words, separator)) }

// Env is the task as an environment entry.
func (t Task) Env() string { return Variable + "=" + string(t) }

// Requested returns the task that this process was started for, "" for none,
// and removes it from the environment.
func Requested() Task {
	t := os.Getenv(Variable)
	if t != "" {
		_ = os.Unsetenv(Variable) // cannot fail: the name is not empty
	}
	return Task(t)
}

// Main does a task of this package and returns the exit status; ok is false
// if the task is not one of its verbs.
func Main(t Task) (status int, ok bool) {
	words := strings.Split(string(t), separator)
	verb, found := verbs[words[0]]
	if !found {
		return 0, false
	}
	err := verb(words[1:])
	if err == nil {
		return 0, true
	}
	if errno, is := err.(unix.Errno); is {
		return int(errno), true
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", words[0], err)
	return 255, true
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
