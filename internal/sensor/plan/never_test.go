package plan

import (
	"slices"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

// A rule that nothing can match says why; one with anything left does not.
func TestNever(t *testing.T) {
	for _, tt := range []struct {
		condition string
		opts      Options
		want      string
	}{
		{"evt.type=read", Options{}, "read: looked at with -A (base_syscalls.all) only"},
		{"evt.type in (read, write) and fd.name=/x", Options{}, "read, write: looked at with -A (base_syscalls.all) only"},
		{"evt.type=read", Options{All: true}, ""},
		{"evt.type in (read, openat)", Options{}, ""},
		{"evt.type=ptrace", Options{Custom: []string{"!ptrace"}}, "ptrace: removed by base_syscalls.custom_set"},
		{"evt.type in (open, openat)", Options{Custom: []string{"!openat"}}, ""},
		{"evt.type in (read, ptrace)", Options{Custom: []string{"!ptrace"}}, "read: looked at with -A (base_syscalls.all) only; ptrace: removed by base_syscalls.custom_set"},
		{"evt.type=ptrace and evt.type=unlink", Options{}, "its condition is true for no event"},
		{"evt.type=sysinfo", Options{Custom: []string{"!sysinfo"}}, "sysinfo: removed by base_syscalls.custom_set"},
		{"evt.type=sysinfo", Options{}, ""},
		// A syscall of a kind of its own does not count as one without.
		{"evt.type in (_llseek, sysinfo)", Options{Custom: []string{"!_llseek", "!lseek", "!sysinfo"}}, "sysinfo: removed by base_syscalls.custom_set"},
		{"evt.type in (openat, read) and evt.arg.size > 0", Options{}, "read: looked at with -A (base_syscalls.all) only"},
		{"evt.type in (openat, read) and not evt.arg.size > 0", Options{}, ""},
		{"evt.type=openat and evt.arg[size] > 0", Options{}, "no event that it is about has the parameter size"},
		{"evt.type=openat and evt.rawarg.size exists", Options{}, "no event that it is about has the parameter size"},
		{"evt.type=openat and thread.cpu > 1", Options{}, "thread.cpu never has a value here"},
		{"container.healthcheck exists", Options{}, "container.healthcheck never has a value here"},
		{"evt.type=openat and (thread.cpu > 1 or fd.name=/x)", Options{}, ""},
		{"evt.type=openat and not thread.cpu > 1", Options{}, ""},
		{"proc.name=x", Options{}, ""},
		{"evt.type=procexit", Options{}, ""},
	} {
		if got := Never(load(t, tt.condition)[0], tt.opts); got != tt.want {
			t.Errorf("%s with %+v: %q, want %q", tt.condition, tt.opts, got, tt.want)
		}
		// The plan agrees: a rule that never matches has no program and no
		// syscall.
		if p := newPlan(t, tt.opts, tt.condition); tt.want != "" && len(tt.opts.Custom) == 0 && p.Programs() != 0 {
			t.Errorf("%s: %d programs", tt.condition, p.Programs())
		}
	}
	if got := Never(&rules.Rule{Source: "okta"}, Options{}); got != "there are no events of source okta here" {
		t.Errorf("%q", got)
	}
}

func TestUnknownSyscalls(t *testing.T) {
	added, removed := UnknownSyscalls([]string{"open", "opne", "!openat", "!nosuch", "1"})
	if !slices.Equal(added, []string{"opne", "1"}) || !slices.Equal(removed, []string{"nosuch"}) {
		t.Errorf("%q, %q", added, removed)
	}
}
