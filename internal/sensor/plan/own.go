package plan

import (
	"slices"
	"sync/atomic"

	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
)

// ownFields are facts about a process that are its own, and stay while it runs
// one image under one user and group: ProcessMask has everything that changes
// them. What depends on its ancestors, on the names of users or on its container
// changes without it, and the rest (directory, session, capabilities) has calls
// of its own that change it.
var ownFields = []string{
	"proc.name", "proc.exe", "proc.exepath", "proc.cmdline", "proc.exeline", "proc.args", "proc.cmdnargs", "proc.cmdlenargs",
	"proc.env", "proc.tty", "proc.pid", "proc.exe_ino",
	"proc.is_exe_writable", "proc.is_exe_upper_layer", "proc.is_exe_lower_layer", "proc.is_exe_from_memfd",
	"user.uid", "user.loginuid", "group.gid",
}

// ProcessMask says which rules can match events of a process, as long as it has
// these facts, which are in the header of every event.
type ProcessMask struct {
	Plan             uint32 // Plan.Number
	PID              uint32
	Start            uint64
	ExecID, UID, GID uint32
	LoginUID         uint32
	Rules            [2]uint64 // Bits
}

// numbers tells plans apart.
var numbers atomic.Uint32

// newNumber is a number that no plan has, and not 0.
func newNumber() uint32 {
	for {
		if n := numbers.Add(1); n != 0 {
			return n
		}
	}
}

// addOwn adds the projection of a condition onto a process's own facts to Own.
func (p *Plan) addOwn(c *filter.Compiler, node filter.Node) error {
	projection := filter.ProjectFields(node, func(f *filter.Field) bool { return slices.Contains(ownFields, f.Name) })
	if filter.IsTrue(projection) {
		p.Own = append(p.Own, nil)
		return nil
	}
	cond, err := c.Compile(projection)
	p.Own = append(p.Own, cond)
	return err
}

// OwnBits are the rules of which holds says that they can match a process by its
// own facts, and what is needed for no rule's sake; false if that is all rules.
func (p *Plan) OwnBits(holds func(filter.Predicate) bool) (b Bits, some bool) {
	b.Set(NoRule)
	for i, cond := range p.Own {
		if cond == nil || holds(cond) {
			b.Set(BitOf(i, len(p.Own)))
		} else {
			some = true
		}
	}
	return b, some
}
