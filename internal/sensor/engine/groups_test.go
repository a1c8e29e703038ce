package engine

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// The kernel is told once of groups that are the host's, and of those that turn
// out not to be.
func TestTellGroups(t *testing.T) {
	e := newEngine(newRuleset(t, nil, false, false), nil)
	var told []string
	e.TellGroups(func(set []byte, host bool) { told = append(told, fmt.Sprintf("%s %v", set, host)) })
	send := func(kind event.Kind, paths, set string) {
		var b event.Builder
		b.Start(kind, event.Header{Time: 1, PID: 7, TID: 7, Start: 1, Syscall: event.NoSyscall})
		b.Str(kind.Info().Slot("cgroups"), paths)
		if set != "" {
			b.Str(kind.Info().Slot("cgroup_set"), set)
		}
		e.Handle(b.Finish())
	}
	inside := "memory=/docker/" + strings.Repeat("ab", 32) + "\x00"
	send(event.KindExecve, "memory=/user\x00", "A")
	send(event.KindExecve, "memory=/user\x00", "A")
	send(event.KindExecve, inside, "B")
	send(event.KindProcmove, "memory=/user\x00", "C")
	send(event.KindExecve, "memory=/user\x00", "")
	send(event.KindTask, inside, "A")
	send(event.KindExecve, "memory=/user\x00", "A")
	if want := []string{"A true", "C true", "A false", "A true"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}

	// What is forgotten for want of room is taken back, so that the kernel never
	// counts groups as the host's that the engine would not correct.
	counts := map[string]bool{}
	for _, line := range told {
		set, host, _ := strings.Cut(line, " ")
		counts[set] = host == "true"
	}
	told = nil
	for i := range maxGroups {
		send(event.KindExecve, "memory=/user\x00", fmt.Sprint("S", i))
	}
	send(event.KindExecve, inside, "A")
	for _, line := range told {
		set, host, _ := strings.Cut(line, " ")
		counts[set] = host == "true"
	}
	if counts["A"] {
		t.Error("groups of a container count as the host's")
	}
}
