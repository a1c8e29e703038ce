package probe

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// caps are the capabilities of this thread, as parameters have them.
func caps(t testing.TB) (inheritable, permitted, effective string) {
	t.Helper()
	var d [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &d[0]); err != nil {
		t.Fatal(err)
	}
	word := func(lo, hi uint32) string { return num(uint64(lo) | uint64(hi)<<32) }
	return word(d[0].Inheritable, d[1].Inheritable), word(d[0].Permitted, d[1].Permitted), word(d[0].Effective, d[1].Effective)
}

// Calls that leave the process as it is.
func TestIDs(t *testing.T) {
	inh, perm, eff := caps(t)
	with := func(f fields) fields {
		f["cur_inheritable"], f["cur_permitted"], f["cur_effective"] = inh, perm, eff
		return f
	}
	var ids [3]uint32
	limit := unix.Rlimit{Cur: 100, Max: 200}
	var old unix.Rlimit
	var nofile unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &nofile); err != nil {
		t.Fatal(err)
	}
	pgid := unix.Getpgrp()
	keep := uint64(0xffffffff)
	runCalls(t, []call{
		{syscall: "setuid", do: func() int64 { return raw(unix.SYS_SETUID, 0) }, want: with(fields{"uid": "0"})},
		{syscall: "setgid", do: func() int64 { return raw(unix.SYS_SETGID, 0) }, want: with(fields{"gid": "0"})},
		{syscall: "setreuid", do: func() int64 { return raw(unix.SYS_SETREUID, keep, 0) }, want: with(fields{"ruid": "4294967295", "euid": "0"})},
		{syscall: "setregid", do: func() int64 { return raw(unix.SYS_SETREGID, keep, 0) }, want: with(fields{"rgid": "4294967295", "egid": "0"})},
		{syscall: "setresuid", do: func() int64 { return raw(unix.SYS_SETRESUID, 0, keep, 0) },
			want: with(fields{"ruid": "0", "euid": "4294967295", "suid": "0"})},
		{syscall: "setresgid", do: func() int64 { return raw(unix.SYS_SETRESGID, 0, keep, 0) },
			want: with(fields{"rgid": "0", "egid": "4294967295", "sgid": "0"})},
		{syscall: "getuid", do: func() int64 { return raw(unix.SYS_GETUID) }, want: fields{"uid": num(os.Getuid())}},
		{syscall: "getegid", do: func() int64 { return raw(unix.SYS_GETEGID) }, want: fields{"egid": num(os.Getegid())}},
		{syscall: "getresuid", do: func() int64 {
			return raw(unix.SYS_GETRESUID, unsafe.Pointer(&ids[0]), unsafe.Pointer(&ids[1]), unsafe.Pointer(&ids[2]))
		}, want: fields{"ruid": num(os.Getuid()), "euid": num(os.Geteuid()), "suid": num(os.Getuid())}},
		{syscall: "capset", fails: true, do: func() int64 {
			return raw(unix.SYS_CAPSET, unsafe.Pointer(&unix.CapUserHeader{Version: 1}), buffer(24))
		}, want: with(fields{"cap_inheritable": inh, "cap_permitted": perm, "cap_effective": eff})},
		{syscall: "unshare", do: func() int64 { return raw(unix.SYS_UNSHARE, 0) }, want: with(fields{"flags": "0"})},
		{name: " failed", syscall: "unshare", fails: true, do: func() int64 { return raw(unix.SYS_UNSHARE, unix.CLONE_NEWNS|0x1) },
			want: with(fields{"flags": "32"})},
		{syscall: "setns", fails: true, do: func() int64 { return raw(unix.SYS_SETNS, 9999, unix.CLONE_NEWNET) },
			want: with(fields{"fd": "9999", "nstype": "16", "file": "-"})},
		{syscall: "setpgid", do: func() int64 { return raw(unix.SYS_SETPGID, 0, pgid) }, dynamic: func(int64) fields {
			sid, _ := unix.Getsid(0)
			return fields{"pid": "0", "pgid": num(pgid), "sid": num(sid), "cur_pgid": num(pgid), "vpgid": num(pgid)}
		}},
		{syscall: "prlimit64", do: func() int64 {
			return raw(unix.SYS_PRLIMIT64, 0, unix.RLIMIT_RTTIME, unsafe.Pointer(&limit), unsafe.Pointer(&old))
		}, dynamic: func(int64) fields {
			return fields{"newcur": "100", "newmax": "200", "oldcur": num(int64(old.Cur)), "oldmax": num(int64(old.Max)), "pid": "0", "resource": "15"}
		}},
	})
}

// session is a child that becomes a session leader of its own.
func TestSetsid(t *testing.T) {
	helper := exec.Command("/usr/bin/setsid", "-w", "/bin/true")
	tr := trace(t, []string{"setsid"}, func() {
		if err := helper.Run(); err != nil {
			t.Fatal(err)
		}
	})
	pid := helper.Process.Pid
	all := tr.of(event.KindSetsid, pid)
	if len(all) == 0 { // setsid forks when it leads its group
		for _, e := range tr.events {
			if e.Kind() == event.KindSetsid {
				pid, all = int(e.Header().PID), append(all, e)
			}
		}
	}
	if len(all) != 1 {
		t.Fatalf("%d events", len(all))
	}
	all[0].want(t, map[string]string{"res": num(pid), "sid": num(pid), "pgid": num(pid), "vpgid": num(pid)})
}

func init() {
	helpers["userns"] = func() {
		syscall.RawSyscall(syscall.SYS_UNSHARE, unix.CLONE_NEWNET, 0, 0) // in the new namespace: allowed
	}
	helpers["dropuid"] = func() {
		if err := syscall.Setuid(65534); err != nil {
			os.Exit(1)
		}
	}
}

func helper(name string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{"PROBE_TEST_HELPER=" + name}
	return cmd
}

// A task in a user namespace of its own, and one that gives its rights away.
func TestCapabilitiesAfter(t *testing.T) {
	cmd := helper("dropuid")
	tr := trace(t, []string{"setuid"}, func() {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	})
	for _, e := range tr.of(event.KindSetuid, cmd.Process.Pid) {
		e.want(t, map[string]string{"res": "0", "uid": "65534", "cur_inheritable": "0", "cur_permitted": "0", "cur_effective": "0"})
		if e.Header().UID != 65534 {
			t.Errorf("uid %d in the header", e.Header().UID)
		}
	}
	if len(tr.of(event.KindSetuid, cmd.Process.Pid)) == 0 {
		t.Error("no event")
	}
}

// Processes in a pid and a user namespace have their own numbers there.
func TestNamespaces(t *testing.T) {
	cmd := helper("userns")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWPID,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 1000, Size: 1}},
	}
	tr := trace(t, []string{"unshare"}, func() {
		if out, err := cmd.CombinedOutput(); err != nil {
			if strings.Contains(err.Error(), "not permitted") {
				t.Skipf("no user namespaces here: %v", err)
			}
			t.Fatalf("%v: %s", err, out)
		}
	})
	all := tr.of(event.KindUnshare, cmd.Process.Pid)
	if len(all) != 1 {
		t.Fatalf("%d events", len(all))
	}
	h := all[0].Header()
	if h.PIDNS == namespace(t, "pid") {
		t.Errorf("pid namespace %d, not its own", h.PIDNS)
	}
	execs := tr.of(event.KindExecve, cmd.Process.Pid)
	if len(execs) != 1 {
		t.Fatalf("%d execs", len(execs))
	}
	if f := execs[0].fields(); f["vpid"] != "1" || execs[0].Header().VTID != 1 {
		t.Errorf("vpid %s, vtid %d", f["vpid"], execs[0].Header().VTID)
	}
	forks := slices.DeleteFunc(tr.of(event.KindProcfork, os.Getpid()), func(e recorded) bool {
		return e.fields()["child"] != num(cmd.Process.Pid)
	})
	if len(forks) != 1 {
		t.Fatalf("%d forks", len(forks))
	}
	if f := forks[0].fields(); f["child"] != num(cmd.Process.Pid) || f["vpid"] != "1" || f["vtid"] != "1" {
		t.Errorf("fork %v", f)
	}
}
