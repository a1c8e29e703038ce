package probe

import "github.com/peregrine-sec/peregrine/internal/sensor/event"

// family is a group of syscalls served by one program; its number is the
// program's index in the table that sys_exit jumps through.
type family uint8

const (
	_ family = iota
	opens
	procs
	misc
)

// programs are the programs of the families.
var programs = map[family]string{
	opens: "family_open",
	procs: "family_proc",
	misc:  "family_misc",
}

// kinds are the kinds that each family makes with all their parameters. Any
// other syscall is sent as KindSyscall.
var kinds = map[family][]event.Kind{
	opens: {event.KindOpen, event.KindOpenat, event.KindOpenat2, event.KindCreat, event.KindOpenByHandleAt},
	procs: {event.KindClone, event.KindFork, event.KindVfork, event.KindClone3, event.KindExecve, event.KindExecveat},
	misc:  {event.KindSyscall},
}

var familyOf = func() map[event.Kind]family {
	m := map[event.Kind]family{}
	for f, ks := range kinds {
		for _, k := range ks {
			m[k] = f
		}
	}
	return m
}()
