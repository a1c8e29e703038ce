package state

import "github.com/peregrine-sec/peregrine/internal/sensor/event"

// The slots of the parameters that the table reads, by kind.
var (
	execSlots   = slotsOfExec(event.KindExecve)
	execatSlots = slotsOfExec(event.KindExecveat)

	execPIDNSStart = slot(event.KindExecve, "pidns_init_start_ts")

	forkSlots = struct{ child, ppid, vpid, vtid, sid, pgid, vpgid, start, uid, gid, cgroup, pidns int }{
		child: slot(event.KindProcfork, "child"), ppid: slot(event.KindProcfork, "ppid"),
		vpid: slot(event.KindProcfork, "vpid"), vtid: slot(event.KindProcfork, "vtid"),
		sid: slot(event.KindProcfork, "sid"), pgid: slot(event.KindProcfork, "pgid"),
		vpgid: slot(event.KindProcfork, "vpgid"), start: slot(event.KindProcfork, "start"),
		uid: slot(event.KindProcfork, "uid"), gid: slot(event.KindProcfork, "gid"),
		cgroup: slot(event.KindProcfork, "cgroup"), pidns: slot(event.KindProcfork, "pidns_init_start_ts"),
	}
	moveSlots    = struct{ cgroups int }{slot(event.KindProcmove, "cgroups")}
	exitSlots    = struct{ reaper int }{slot(event.KindProcexit, "reaper_tid")}
	chdirSlots   = struct{ path, cwd int }{slot(event.KindChdir, "path"), slot(event.KindChdir, "cwd")}
	fchdirSlots  = struct{ file, cwd int }{slot(event.KindFchdir, "file"), slot(event.KindFchdir, "cwd")}
	chrootSlots  = struct{ path, root int }{slot(event.KindChroot, "path"), slot(event.KindChroot, "root")}
	setnsSlots   = struct{ nstype, file int }{slot(event.KindSetns, "nstype"), slot(event.KindSetns, "file")}
	setsidSlots  = idSlots{slot(event.KindSetsid, "sid"), slot(event.KindSetsid, "pgid"), slot(event.KindSetsid, "vpgid")}
	setpgidSlots = struct {
		idSlots
		target, to int
	}{
		idSlots{slot(event.KindSetpgid, "sid"), slot(event.KindSetpgid, "cur_pgid"), slot(event.KindSetpgid, "vpgid")},
		slot(event.KindSetpgid, "pid"), slot(event.KindSetpgid, "pgid"),
	}

	setrlimitSlots = struct{ cur, resource int }{slot(event.KindSetrlimit, "cur"), slot(event.KindSetrlimit, "resource")}
	prlimitSlots   = struct{ cur, pid, resource int }{
		slot(event.KindPrlimit, "newcur"), slot(event.KindPrlimit, "pid"), slot(event.KindPrlimit, "resource"),
	}

	containerJSON = slot(event.KindContainer, "json")
	asyncName     = slot(event.KindAsyncevent, "name")
	asyncData     = slot(event.KindAsyncevent, "data")

	// credSlots are those of cur_inheritable; cur_permitted and cur_effective
	// follow.
	credSlots = credSlotsOf(
		event.KindSetuid, event.KindSetgid, event.KindSetreuid, event.KindSetregid,
		event.KindSetresuid, event.KindSetresgid, event.KindCapset, event.KindUnshare, event.KindSetns,
	)
)

// tells are the kinds that tell of changes: those that the table needs, and
// those that it makes use of if a rule or a capture has them.
var tells = func() (tells [event.NumKinds]bool) {
	for k := range event.Kind(event.NumKinds) {
		tells[k] = k.Info().Traits&event.ModifiesState != 0
	}
	tells[event.KindSetrlimit], tells[event.KindPrlimit] = true, true
	return tells
}()

// LearnsFrom says whether the table learns from events of a kind.
func LearnsFrom(k event.Kind) bool { return tells[k] }

// Needs says whether the kernel must send the successful calls of a kind for the
// table's sake. Of a change of directory, the next event of the process tells
// (event.View.CWD).
func Needs(k event.Kind) bool { return tells[k] && k != event.KindChdir && k != event.KindFchdir }

type idSlots struct{ sid, pgid, vpgid int }

type execveSlots struct {
	exe, args, cwd, fdlimit, majFault, minFault, vmSize, vmRSS, vmSwap, comm, cgroups, env, tty, vpgid,
	loginuid, flags, capInh, capPerm, capEff, ino, ctime, mtime, uid, path, pgid, gid, sid, ppid, start, vpid, mntns int
}

func slotsOfExec(k event.Kind) execveSlots {
	s := func(name string) int { return slot(k, name) }
	return execveSlots{
		exe: s("exe"), args: s("args"), cwd: s("cwd"), fdlimit: s("fdlimit"),
		majFault: s("pgft_maj"), minFault: s("pgft_min"), vmSize: s("vm_size"), vmRSS: s("vm_rss"), vmSwap: s("vm_swap"),
		comm: s("comm"), cgroups: s("cgroups"), env: s("env"), tty: s("tty"), vpgid: s("vpgid"), loginuid: s("loginuid"),
		flags: s("flags"), capInh: s("cap_inheritable"), capPerm: s("cap_permitted"), capEff: s("cap_effective"),
		ino: s("exe_ino"), ctime: s("exe_ino_ctime"), mtime: s("exe_ino_mtime"), uid: s("uid"),
		path: s("trusted_exepath"), pgid: s("pgid"), gid: s("gid"), sid: s("sid"), ppid: s("ppid"), start: s("start"),
		vpid: s("vpid"), mntns: s("mntns"),
	}
}

func credSlotsOf(kinds ...event.Kind) (s [event.NumKinds]int8) {
	for _, k := range kinds {
		s[k] = int8(slot(k, "cur_inheritable"))
	}
	return s
}

// slot is the slot of a parameter or extra that the schema must have.
func slot(k event.Kind, name string) int {
	i := k.Info().Slot(name)
	if i < 0 {
		panic("state: " + k.String() + " has no parameter " + name)
	}
	return i
}
