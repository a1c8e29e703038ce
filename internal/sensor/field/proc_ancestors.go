package field

import (
	"fmt"
	"math"

	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// maxEnvAncestors is how far proc.aenv looks, as in Falco.
const maxEnvAncestors = 20

// ancestorFields are the facts about ancestors: proc.aname[2] is the name of
// the parent's parent; without a number a condition holds if it does for any
// ancestor.
func ancestorFields() []Field {
	return []Field{
		ofAncestors("proc.aname", "proc.name of an ancestor: [0] the process itself, [1] its parent, ...", comm).with(NoRHS | NoTransformer),
		ofAncestors("proc.aexe", "proc.exe of an ancestor: [0] the process itself, [1] its parent, ...", exe).with(NoRHS | NoTransformer),
		ofAncestors("proc.aexepath", "proc.exepath of an ancestor: [0] the process itself, [1] its parent, ...", exePath).with(NoRHS | NoTransformer),
		ofAncestors("proc.acmdline", "proc.cmdline of an ancestor: [0] the process itself, [1] its parent, ...", cmdline).with(NoRHS | NoTransformer),
		ofAncestors("proc.aargs", "proc.args of an ancestor: [0] the process itself, [1] its parent, ...", args),
		ancestorPID(),
		ancestorEnv(),
	}
}

const anyAncestor = " Without a number, a check is true if it is true for any ancestor."

func ofAncestors(name, doc string, get func(*state.Process) string) Field {
	of := func(_ *Context, p *state.Process) string { return get(p) }
	return ancestorField(name, String, doc, func(x *Extractor, arg string) (err error) {
		x.Str, x.Each, err = ancestry(arg, math.MaxInt, of)
		return err
	})
}

func ancestorPID() Field {
	of := func(_ *Context, p *state.Process) int64 { return int64(p.PID) }
	return ancestorField("proc.apid", Int, "proc.pid of an ancestor: [0] the process itself, [1] its parent, ...", func(x *Extractor, arg string) (err error) {
		x.Int, x.EachInt, err = ancestry(arg, math.MaxInt, of)
		return err
	}).with(NoRHS | NoTransformer)
}

// ancestorEnv is proc.aenv: any ancestor's environment; that of one, [N]; or
// one variable's value in any ancestor that has it, [NAME].
func ancestorEnv() Field {
	of := func(c *Context, p *state.Process) string { return c.spaced(p.Env) }
	return ancestorField("proc.aenv", String, fmt.Sprintf("Environment of an ancestor: [N] as proc.aname, or [NAME] for the value of one variable in the nearest of %d ancestors that has it.", maxEnvAncestors), func(x *Extractor, arg string) (err error) {
		if x.Str, x.Each, err = ancestry(arg, maxEnvAncestors, of); err == nil {
			return nil
		}
		x.Str = func(c *Context) (string, bool) {
			p := c.Table.Parent(c.Proc)
			for n := 0; p != nil && n < maxEnvAncestors; n++ {
				if v := variable(p.Env, arg); v != "" {
					return v, true
				}
				p = c.Table.Parent(p)
			}
			return "", false
		}
		return nil
	}).with(NoRHS | NoTransformer)
}

func ancestorField(name string, t Type, doc string, bind func(x *Extractor, arg string) error) Field {
	return Field{
		Name: name, Type: t, Match: Any, Stage: AtExec, Arg: ArgAllowed, Doc: doc + anyAncestor,
		Bind: func(arg string) (Extractor, error) {
			x := Extractor{Type: t, Stage: AtExec}
			if arg == "" {
				x.Match = Any
			}
			err := bind(&x, arg)
			return x, err
		},
	}
}

// ancestry gets something of the process itself and, if there is no argument,
// of each of its ancestors, but most of them; with an argument [N], of one.
func ancestry[T any](arg string, most int, get func(*Context, *state.Process) T) (one func(*Context) (T, bool), each func(*Context, func(T) bool) bool, err error) {
	if arg == "" {
		return func(c *Context) (T, bool) { return get(c, c.Proc), true }, func(c *Context, yield func(T) bool) bool {
			p := c.Table.Parent(c.Proc)
			found := p != nil
			for n := 0; p != nil && n < most && yield(get(c, p)); n++ {
				p = c.Table.Parent(p)
			}
			return found
		}, nil
	}
	n, err := index(arg)
	return func(c *Context) (value T, ok bool) {
		if p := c.Table.Ancestor(c.Proc, n); p != nil {
			return get(c, p), true
		}
		return value, false
	}, nil, err
}

// OfGroupLeaders are the beginnings of the fields about the leader of a process
// group, which need be no ancestor.
var OfGroupLeaders = []string{"proc.vpgid.", "proc.pgid."}

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
