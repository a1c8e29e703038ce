package state

import (
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// User is an entry of a passwd file.
type User struct {
	UID, GID          uint32
	Name, Home, Shell string
}

// Group is an entry of a group file.
type Group struct {
	GID  uint32
	Name string
}

// User and group of an unknown uid or gid, as Falco shows them.
var (
	unknownUser  = &User{UID: noID, GID: noID, Name: "<NA>", Home: "<NA>", Shell: "<NA>"}
	unknownGroup = &Group{GID: noID, Name: "<NA>"}
	rootUser     = &User{Name: "root", Home: "/root"}
	rootGroup    = &Group{Name: "root"}
)

// User returns the user of uid where p runs: in its container, or on the host.
// The result is never nil: without an entry it is root for 0, and has the name
// "<NA>" otherwise.
func (t *Table) User(p *Process, uid uint32) *User {
	if u := t.accounts(p).users[uid]; u != nil {
		return u
	}
	if uid == 0 {
		return rootUser
	}
	return unknownUser
}

// Group is User for groups.
func (t *Table) Group(p *Process, gid uint32) *Group {
	if g := t.accounts(p).groups[gid]; g != nil {
		return g
	}
	if gid == 0 {
		return rootGroup
	}
	return unknownGroup
}

// accounts are the users and groups of one container or of the host.
type accounts struct {
	users  map[uint32]*User
	groups map[uint32]*Group
	stamp  stamp
	// version counts the changes.
	version uint64

	// For containers, whose files are read in the background:
	pending chan *accounts // the read that is under way
	asked   time.Time      // when it began
	used    bool           // since then
}

// users has the accounts by container.
type users struct {
	host     accounts
	hostRoot string // "" when the host's files are not ours to read
	proc     string // "" for captures
	by       map[string]*accounts
	reads    chan struct{} // a token for every read under way
}

const (
	maxReads = 4                    // a container can make a read hang for ever
	patience = 5 * time.Millisecond // how long an event waits for a container's first read
	reread   = 10 * time.Second     // how often a container's files are looked at
)

func newUsers(hostRoot, proc string) *users {
	u := &users{hostRoot: hostRoot, proc: proc, by: make(map[string]*accounts), reads: make(chan struct{}, maxReads)}
	if hostRoot != "" {
		if a := readAccounts(hostRoot, stamp{}); a != nil {
			u.host = *a
		}
	}
	return u
}

// accounts returns those that count for p.
func (t *Table) accounts(p *Process) *accounts {
	u := t.users
	if p.Container == container.Host {
		return &u.host
	}
	a := u.by[p.Container.ID]
	if a == nil {
		a = new(accounts)
		u.by[p.Container.ID] = a
		if u.read(a, p) {
			timer := time.NewTimer(patience)
			select {
			case got := <-a.pending:
				a.take(got)
			case <-timer.C: // it will be there for later events
			}
			timer.Stop()
		}
	}
	a.used = true
	return a
}

// read begins to read the files of p's container; false if it cannot.
func (u *users) read(a *accounts, p *Process) bool {
	if u.proc == "" || a.pending != nil || p.gone {
		return false
	}
	select {
	case u.reads <- struct{}{}:
	default:
		return false
	}
	a.pending, a.asked, a.used = make(chan *accounts, 1), time.Now(), false
	pending, proc, pid, start, stamp := a.pending, u.proc, p.PID, p.Start, a.stamp
	go func() {
		pending <- readContainerAccounts(proc, pid, start, stamp)
		<-u.reads
	}()
	return true
}

// take ends a read, of which got is the result: nil for no change. It says
// whether anything is new.
func (a *accounts) take(got *accounts) bool {
	a.pending = nil
	if got == nil {
		return false
	}
	a.users, a.groups, a.stamp = got.users, got.groups, got.stamp
	a.version++
	return true
}

// tickUsers looks whether files have changed.
func (t *Table) tickUsers(now time.Time) {
	u := t.users
	if u.hostRoot != "" {
		if got := readAccounts(u.hostRoot, u.host.stamp); got != nil {
			u.host.take(got)
			t.changedContainer(container.Host)
		}
	}
	for id, a := range u.by {
		c := t.containers.Get(id)
		if c == nil && a.pending == nil {
			delete(u.by, id)
			continue
		}
		select {
		case got := <-a.pending:
			if a.take(got) && c != nil {
				t.changedContainer(c)
			}
		default:
		}
		if c != nil && u.proc != "" && a.used && now.Sub(a.asked) >= reread {
			for p := range t.All {
				if p.Container == c && u.read(a, p) {
					break
				}
			}
		}
	}
}

// FactsVersion changes with what the table knows from elsewhere than events:
// accounts, and metadata of containers.
func (t *Table) FactsVersion() uint64 { return t.facts }

// changedContainer marks all processes of c.
func (t *Table) changedContainer(c *container.Container) {
	t.facts++
	for _, p := range t.processes {
		if p.Container == c {
			t.changed(p)
		}
	}
}

// apply stores the users and groups of a capture.
func (u *users) apply(v *event.View) {
	id, _ := v.Str(v.Info().Slot("container_id"))
	a := &u.host
	if id != "" && id != container.Host.ID {
		if a = u.by[id]; a == nil {
			a = new(accounts)
			u.by[string([]byte(id))] = a
		}
	}
	a.version++
	str := func(slot int) string {
		s, _ := v.Bytes(slot)
		return string(s)
	}
	switch v.Kind() {
	case event.KindUseradded:
		n := &User{
			UID: uint32(v.Uint(event.UseraddedUid)), GID: uint32(v.Uint(event.UseraddedGid)),
			Name: str(event.UseraddedName), Home: str(event.UseraddedHome), Shell: str(event.UseraddedShell),
		}
		set(&a.users, n.UID, n)
	case event.KindUserdeleted: // the parameters of useradded
		delete(a.users, uint32(v.Uint(event.UseraddedUid)))
	case event.KindGroupadded:
		g := &Group{GID: uint32(v.Uint(event.GroupaddedGid)), Name: str(event.GroupaddedName)}
		set(&a.groups, g.GID, g)
	case event.KindGroupdeleted: // those of groupadded
		delete(a.groups, uint32(v.Uint(event.GroupaddedGid)))
	}
}

func set[V any](m *map[uint32]V, k uint32, v V) {
	if *m == nil {
		*m = make(map[uint32]V)
	}
	(*m)[k] = v
}
