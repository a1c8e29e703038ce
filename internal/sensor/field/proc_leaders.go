package field

import "github.com/peregrine-sec/peregrine/internal/sensor/state"

// groupLeaderFields are the facts about the leader of the process's session
// and of its process group. Leaders are not always ancestors, so these change
// without notice: they are read at the event.
func groupLeaderFields() []Field {
	var fields []Field
	for _, group := range []struct {
		prefix, exePrefix, what string
		leader                  func(*state.Table, *state.Process) *state.Process
	}{
		{"proc.sname", "proc.sid", "session", (*state.Table).SessionLeader},
		{"proc.vpgid.name", "proc.vpgid", "process group, by the ids of its own pid namespace", (*state.Table).VPGroupLeader},
		{"proc.pgid.name", "proc.pgid", "process group, by the ids of the host", (*state.Table).PGroupLeader},
	} {
		fields = append(fields,
			ofLeader(group.prefix, "proc.name of the leader of the process's "+group.what+".", group.leader, comm),
			ofLeader(group.exePrefix+".exe", "proc.exe of the leader of the process's "+group.what+".", group.leader, exe),
			ofLeader(group.exePrefix+".exepath", "proc.exepath of the leader of the process's "+group.what+".", group.leader, exePath),
		)
	}
	return fields
}

func ofLeader(name, doc string, leader func(*state.Table, *state.Process) *state.Process, get func(*state.Process) string) Field {
	return str(name, AtEvent, doc+" If the leader has exited, of the oldest ancestor in it.", func(c *Context) (string, bool) {
		return get(leader(c.Table, c.Proc)), true
	})
}
