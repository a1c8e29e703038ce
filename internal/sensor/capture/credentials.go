package capture

import "github.com/peregrine-sec/peregrine/internal/sensor/event"

// credentialEffects are those on directories, users, capabilities, sessions.
func credentialEffects(of *[event.NumKinds]effect) {
	of[event.KindChdir] = (*Reader).chdir
	of[event.KindGetcwd] = (*Reader).chdir // its result is the current directory
	of[event.KindFchdir] = (*Reader).fchdir
	of[event.KindChroot] = (*Reader).chroot
	of[event.KindSetuid] = setID(event.KindSetuid, "uid", true)
	of[event.KindSetreuid] = setID(event.KindSetreuid, "euid", true)
	of[event.KindSetresuid] = setID(event.KindSetresuid, "euid", true)
	of[event.KindSetgid] = setID(event.KindSetgid, "gid", false)
	of[event.KindSetregid] = setID(event.KindSetregid, "egid", false)
	of[event.KindSetresgid] = setID(event.KindSetresgid, "egid", false)
	of[event.KindCapset] = (*Reader).capset
	of[event.KindUnshare] = newUserNS(event.KindUnshare, "flags")
	of[event.KindSetns] = setns
	of[event.KindSetsid] = (*Reader).setsid
	of[event.KindSetpgid] = (*Reader).setpgid
}

func (r *Reader) chdir(t *thread) {
	const res, path = 0, 1
	if r.vals.int(res) >= 0 && r.vals.has(path) {
		dir := r.join(t.p.cwd, r.vals.text(path))
		t.p.cwd = r.paths.get(dir)
	}
}

func (r *Reader) fchdir(t *thread) {
	const res, num = 0, 1
	if r.vals.int(res) >= 0 && r.vals.has(num) {
		t.p.cwd = ""
		if f := t.p.fds.get(r.vals.int(num)); f != nil {
			t.p.cwd = f.name
		}
	}
}

func (r *Reader) chroot(t *thread) {
	const res, path = 0, 1
	if r.vals.int(res) >= 0 && r.vals.has(path) {
		t.p.root = r.paths.get(r.join(t.p.cwd, r.vals.text(path)))
	}
}

// setID sets the effective user or group. The kernel takes the capabilities
// away when root becomes another user, and gives them back (capabilities(7)).
func setID(k event.Kind, param string, user bool) effect {
	slot := k.Info().Slot(param)
	return func(r *Reader, t *thread) {
		id := uint32(r.vals.num(slot))
		if r.vals.int(0) < 0 || !r.vals.has(slot) || id == noID {
			return
		}
		p := t.p
		if !user {
			p.gid = id
			return
		}
		switch old := p.uid; {
		case old == 0 && id != 0:
			p.eff = 0
			if k != event.KindSetreuid && k != event.KindSetresuid {
				p.perm = 0 // all of real, effective and saved id are not root's
			}
		case old != 0 && id == 0:
			p.eff = p.perm
		}
		p.uid = id
	}
}

func (r *Reader) capset(t *thread) {
	const res, inh, perm, eff = 0, 1, 2, 3
	if v := &r.vals; v.int(res) >= 0 {
		t.p.inh, t.p.perm, t.p.eff = v.num(inh), v.num(perm), v.num(eff)
	}
}

// newUserNS gives all capabilities, in the new namespace.
func newUserNS(k event.Kind, param string) effect {
	slot := k.Info().Slot(param)
	return func(r *Reader, t *thread) {
		if r.vals.int(0) >= 0 && r.vals.num(slot)&cloneNewUser != 0 {
			const all = 1<<41 - 1
			t.p.perm, t.p.eff = all, all
		}
	}
}

var setnsUser, setnsType = newUserNS(event.KindSetns, "nstype"), event.KindSetns.Info().Slot("nstype")

// setns into a mount namespace leads to its root, which the main thread tells of
// its process.
func setns(r *Reader, t *thread) {
	setnsUser(r, t)
	if r.vals.int(0) >= 0 && r.vals.num(setnsType)&cloneNewNS != 0 && t.tid == t.p.pid {
		t.p.cwd = "/"
	}
}

func (r *Reader) setsid(t *thread) {
	if p := t.p; r.vals.int(0) >= 0 {
		p.sid, p.vpgid, p.pgid = p.vpid, p.vpid, p.pid
	}
}

func (r *Reader) setpgid(t *thread) {
	const res, pid, pgid = 0, 1, 2
	v := &r.vals
	if v.int(res) < 0 || !v.has(pid) || !v.has(pgid) {
		return
	}
	p := t.p
	if n := int32(v.int(pid)); n != 0 && n != p.vpid {
		if p.vpid != p.pid { // which process that is, only the kernel knows
			return
		}
		if p = r.world.process(n); p == nil {
			return
		}
	}
	group := int32(v.int(pgid))
	if group == 0 {
		group = p.vpid
	}
	if p.vpgid = group; p.vpid == p.pid {
		p.pgid = group
	}
}
