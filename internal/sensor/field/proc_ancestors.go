package field

import (
	"fmt"

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
	return Field{
		Name: name, Type: String, Match: Any, Stage: AtExec, Arg: ArgAllowed,
		Doc: doc + anyAncestor,
		Bind: func(arg string) (Extractor, error) {
			if arg != "" {
				return ancestor(arg, get)
			}
			return Extractor{
				Type: String, Match: Any, Stage: AtExec,
				Str: func(c *Context) (string, bool) { return get(c.Proc), true },
				Each: func(c *Context, yield func(string) bool) bool {
					p := c.Table.Parent(c.Proc)
					found := p != nil
					for ; p != nil && yield(get(p)); p = c.Table.Parent(p) {
					}
					return found
				},
			}, nil
		},
	}
}

func ancestor(arg string, get func(*state.Process) string) (Extractor, error) {
	n, err := index(arg)
	if err != nil {
		return Extractor{}, err
	}
	return Extractor{Type: String, Stage: AtExec, Str: func(c *Context) (string, bool) {
		p := c.Table.Ancestor(c.Proc, n)
		if p == nil {
			return "", false
		}
		return get(p), true
	}}, nil
}

func ancestorPID() Field {
	return Field{
		Name: "proc.apid", Type: Int, Match: Any, Stage: AtExec, Arg: ArgAllowed, Flags: NoRHS | NoTransformer,
		Doc: "proc.pid of an ancestor: [0] the process itself, [1] its parent, ..." + anyAncestor,
		Bind: func(arg string) (Extractor, error) {
			if arg == "" {
				return Extractor{
					Type: Int, Match: Any, Stage: AtExec,
					Int: func(c *Context) (int64, bool) { return int64(c.Proc.PID), true },
					EachInt: func(c *Context, yield func(int64) bool) bool {
						p := c.Table.Parent(c.Proc)
						found := p != nil
						for ; p != nil && yield(int64(p.PID)); p = c.Table.Parent(p) {
						}
						return found
					},
				}, nil
			}
			n, err := index(arg)
			if err != nil {
				return Extractor{}, err
			}
			return Extractor{Type: Int, Stage: AtExec, Int: func(c *Context) (int64, bool) {
				p := c.Table.Ancestor(c.Proc, n)
				if p == nil {
					return 0, false
				}
				return int64(p.PID), true
			}}, nil
		},
	}
}

// ancestorEnv is proc.aenv: any ancestor's environment; that of one, [N]; or
// one variable's value in any ancestor that has it, [NAME].
func ancestorEnv() Field {
	return Field{
		Name: "proc.aenv", Type: String, Match: Any, Stage: AtExec, Arg: ArgAllowed, Flags: NoRHS | NoTransformer,
		Doc: fmt.Sprintf("Environment of an ancestor: [N] as proc.aname, or [NAME] for the value of one variable in the nearest of %d ancestors that has it.", maxEnvAncestors) + anyAncestor,
		Bind: func(arg string) (Extractor, error) {
			if n, err := index(arg); err == nil {
				return Extractor{Type: String, Stage: AtExec, Str: func(c *Context) (string, bool) {
					p := c.Table.Ancestor(c.Proc, n)
					if p == nil {
						return "", false
					}
					return c.spaced(p.Env), true
				}}, nil
			}
			if arg == "" {
				return Extractor{
					Type: String, Match: Any, Stage: AtExec,
					Str:  func(c *Context) (string, bool) { return c.spaced(c.Proc.Env), true },
					Each: eachEnv,
				}, nil
			}
			return Extractor{Type: String, Stage: AtExec, Str: func(c *Context) (string, bool) {
				p := c.Table.Parent(c.Proc)
				for n := 0; p != nil && n < maxEnvAncestors; n++ {
					if v := variable(p.Env, arg); v != "" {
						return v, true
					}
					p = c.Table.Parent(p)
				}
				return "", false
			}}, nil
		},
	}
}

func eachEnv(c *Context, yield func(string) bool) bool {
	p := c.Table.Parent(c.Proc)
	found := p != nil
	for n := 0; p != nil && n < maxEnvAncestors && yield(c.spaced(p.Env)); n++ {
		p = c.Table.Parent(p)
	}
	return found
}

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
