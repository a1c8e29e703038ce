package action

import (
	"slices"
	"strings"
)

// Actions that replay a recorded workload make one syscall each, as cheaply as
// the kernel lets them: there is one for each syscall, and one for its failure.
// They are found by Lookup and are not in the catalogue. They touch only their
// own files in the scratch directory and their own sockets on loopback.
const (
	replayPrefix = "replay."
	failedSuffix = ".failed"
)

// Replayed is the action that makes a syscall, or has it fail.
func Replayed(syscall string, failed bool) string {
	if failed {
		return replayPrefix + syscall + failedSuffix
	}
	return replayPrefix + syscall
}

// CutFailed splits the name of a call in those that Besides returns, or behind
// the prefix of Replayed, into the syscall and whether it is to fail.
func CutFailed(call string) (syscall string, failed bool) {
	return strings.CutSuffix(call, failedSuffix)
}

// Besides returns the side calls of Replayed for a syscall that succeeds, such
// as the close after an open. known is false for a syscall that getppid
// replaces, and makes is false for one that is only a side call: a thread ends
// once for each that is started.
func Besides(syscall string) (besides map[string]int, known, makes bool) {
	if slices.Contains(consequences, syscall) {
		return nil, true, false
	}
	call, known := replayCall(syscall)
	return call.besides, known, true
}

// NeverSucceeds says whether the replay of a syscall always fails, even of
// calls that succeeded.
func NeverSucceeds(syscall string) bool {
	call, _ := replayCall(syscall)
	return call.neverSucceeds
}

// MadeAs is the syscall that is made where the given one is replayed: mostly
// itself.
func MadeAs(syscall string) string {
	if other, ok := replayAliases[syscall]; ok {
		return other
	}
	return syscall
}

// consequences are calls that come with others.
var consequences = []string{"exit", "rt_sigreturn", "restart_syscall"}

// lookupReplayed makes the action of a name that Replayed gave.
func lookupReplayed(name string) (*Action, bool) {
	syscall, ok := strings.CutPrefix(name, replayPrefix)
	if !ok {
		return nil, false
	}
	syscall, failed := CutFailed(syscall)
	call, _ := replayCall(syscall)
	a := &Action{Name: name, Summary: "make the syscall " + syscall, RuleSet: NoRule, Needs: Needs{Place: Anywhere},
		Cost: Fast, Bench: BenchYes, Syscalls: 1}
	for _, n := range call.besides {
		a.Syscalls += n
	}
	if call.besides["wait4"]+call.besides["clone"] > 0 {
		a.Cost = Process
	}
	a.prepare = func(p *prep) (func() error, error) { return call.prepare(p, failed) }
	return a, true
}

// replayCall finds a syscall's call.
func replayCall(syscall string) (replay, bool) {
	syscall = MadeAs(syscall)
	for _, table := range []map[string]replay{fileReplays, networkReplays, otherReplays, processReplays, replaysHere} {
		if call, ok := table[syscall]; ok {
			return call, true
		}
	}
	return otherReplays["getppid"], false
}
