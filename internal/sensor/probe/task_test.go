package probe

import (
	"encoding/binary"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// dyn is the text of a Dyn parameter with a number.
func dyn(t event.Type, n uint64) string {
	return quote(string(append([]byte{byte(t)}, binary.NativeEndian.AppendUint64(nil, n)...)))
}

func TestMemory(t *testing.T) {
	var addr int64
	page := uint64(os.Getpagesize())
	vm := func(f fields) fields {
		f["vm_size"], f["vm_rss"], f["vm_swap"] = "*", "*", "*"
		return f
	}
	runCalls(t, []call{
		{syscall: "mmap", do: func() int64 {
			addr = raw(unix.SYS_MMAP, nil, page*2, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS, uint64(1<<64-1), nil)
			return addr
		}, want: vm(fields{"addr": "0", "length": num(page * 2), "prot": "3", "flags": "10", "fd": "-1", "offset": "0", "file": "-"})},
		{syscall: "mprotect", do: func() int64 { return raw(unix.SYS_MPROTECT, uint64(addr), page, unix.PROT_READ) },
			dynamic: func(int64) fields { return fields{"addr": num(addr), "length": num(page), "prot": "1"} }},
		{syscall: "mlock", do: func() int64 { return raw(unix.SYS_MLOCK, uint64(addr), page) },
			dynamic: func(int64) fields { return fields{"addr": num(addr), "len": num(page)} }},
		{syscall: "munlock", do: func() int64 { return raw(unix.SYS_MUNLOCK, uint64(addr), page) },
			dynamic: func(int64) fields { return fields{"addr": num(addr), "len": num(page)} }},
		{syscall: "mlock2", do: func() int64 { return raw(unix.SYS_MLOCK2, uint64(addr), page, 1) },
			dynamic: func(int64) fields { return fields{"addr": num(addr), "len": num(page), "flags": "1"} }},
		{syscall: "munmap", do: func() int64 { return raw(unix.SYS_MUNMAP, uint64(addr), page*2) },
			dynamic: func(int64) fields { return vm(fields{"addr": num(addr), "length": num(page * 2)}) }},
		{syscall: "mlockall", fails: true, do: func() int64 { return raw(unix.SYS_MLOCKALL, 64) }, want: fields{"flags": "64"}},
		{syscall: "munlockall", do: func() int64 { return raw(unix.SYS_MUNLOCKALL) }, want: fields{}},
		{syscall: "brk", do: func() int64 { return raw(unix.SYS_BRK, 0) }, want: vm(fields{"addr": "0"})},
	})
}

func TestTasks(t *testing.T) {
	pid := os.Getpid()
	name := "peregrine-test"
	var comm [16]byte
	runCalls(t, []call{
		{syscall: "kill", do: func() int64 { return raw(unix.SYS_KILL, pid, 0) }, want: fields{"pid": num(pid), "sig": "0"}},
		{syscall: "tkill", fails: true, do: func() int64 { return raw(unix.SYS_TKILL, 1<<22, 9) }, want: fields{"tid": num(1 << 22), "sig": "9"}},
		{syscall: "tgkill", do: func() int64 { return raw(unix.SYS_TGKILL, pid, pid, 0) }, want: fields{"pid": num(pid), "tid": num(pid), "sig": "0"}},
		{syscall: "prctl", do: func() int64 { return raw(unix.SYS_PRCTL, unix.PR_SET_NAME, name) },
			want: fields{"option": "15", "arg2_str": quote(name), "arg2_int": "0"}},
		{name: " get", syscall: "prctl", do: func() int64 { return raw(unix.SYS_PRCTL, unix.PR_GET_NAME, unsafe.Pointer(&comm)) },
			want: fields{"option": "16", "arg2_str": "*", "arg2_int": "0"}},
		{name: " number", syscall: "prctl", do: func() int64 { return raw(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1) },
			want: fields{"option": "4", "arg2_str": "-", "arg2_int": "1"}},
		{syscall: "ptrace", fails: true, do: func() int64 { return raw(unix.SYS_PTRACE, unix.PTRACE_ATTACH, 1<<22, 7, 8) },
			want: fields{"addr": dyn(event.Uint64, 7), "data": dyn(event.Uint64, 8), "request": "11", "pid": num(1 << 22)}},
		{syscall: "seccomp", fails: true, do: func() int64 { return raw(unix.SYS_SECCOMP, 99, 1, nil) }, want: fields{"op": "99", "flags": "1"}},
		{syscall: "init_module", fails: true, do: func() int64 { return raw(unix.SYS_INIT_MODULE, ptr([]byte("noelf")), 5, "a=b") },
			want: fields{"img": `"noelf"`, "length": "5", "uargs": `"a=b"`}},
		{syscall: "finit_module", fails: true, do: func() int64 { return raw(unix.SYS_FINIT_MODULE, 9999, "x=1", 2) },
			want: fields{"fd": "9999", "uargs": `"x=1"`, "flags": "2", "file": "-"}},
		{syscall: "delete_module", fails: true, do: func() int64 { return raw(unix.SYS_DELETE_MODULE, "no_such", unix.O_NONBLOCK) },
			want: fields{"name": `"no_such"`, "flags": "2"}},
		{syscall: "keyctl", fails: true, do: func() int64 { return raw(unix.SYS_KEYCTL, 99, 1, 2, 3, 4) },
			want: fields{"operation": "99", "arg2": dyn(event.Uint64, 1), "arg3": dyn(event.Uint64, 2), "arg4": dyn(event.Uint64, 3), "arg5": dyn(event.Uint64, 4)}},
		{syscall: "fsconfig", fails: true, do: func() int64 { return raw(unix.SYS_FSCONFIG, 9999, unix.FSCONFIG_SET_STRING, "source", "none", 0) },
			want: fields{"fd": "9999", "cmd": "1", "key": `"source"`, "value_bytebuf": "-", "value_charbuf": `"none"`, "aux": "0", "file": "-"}},
		{syscall: "process_vm_readv", do: func() int64 {
			from, to := []byte("peek"), make([]byte, 4)
			local, remote := unix.Iovec{Base: &to[0], Len: 4}, unix.Iovec{Base: &from[0], Len: 4}
			return raw(unix.SYS_PROCESS_VM_READV, pid, unsafe.Pointer(&local), 1, unsafe.Pointer(&remote), 1, 0)
		}, want: fields{"pid": num(pid), "data": `"peek"`}},
		{syscall: "semget", do: func() int64 { return raw(unix.SYS_SEMGET, 0, 1, unix.IPC_CREAT|0o600) },
			want: fields{"key": "0", "nsems": "1", "semflg": num(0x2000)}},
		{syscall: "semctl", fails: true, do: func() int64 { return raw(unix.SYS_SEMCTL, 1<<30, 2, unix.IPC_RMID, 0) },
			want: fields{"semid": num(1 << 30), "semnum": "2", "cmd": "4", "val": "0"}},
		{syscall: "semop", fails: true, do: func() int64 {
			ops := []uint16{1, 0xffff, unix.IPC_NOWAIT, 2, 3, 0x1000}
			return raw(unix.SYS_SEMOP, 1<<30, unsafe.Pointer(&ops[0]), 2)
		}, want: fields{"nsops": "2", "sem_num_0": "1", "sem_op_0": "-1", "sem_flg_0": "1", "sem_num_1": "2", "sem_op_1": "3", "sem_flg_1": "2", "semid": num(1 << 30)}},
		{syscall: "sync", do: func() int64 { return raw(unix.SYS_SYNC) }, dynamic: func(int64) fields {
			id, _ := event.SyscallByName("sync")
			return fields{"ID": num(int(id)), "nativeID": num(unix.SYS_SYNC)}
		}},
	})
}

func TestNanosleep(t *testing.T) {
	tr := trace(t, []string{"nanosleep"}, func() { raw(unix.SYS_NANOSLEEP, unsafe.Pointer(&unix.Timespec{Nsec: 1234}), nil) })
	e := tr.one(event.KindNanosleep)
	e.want(t, map[string]string{"res": "0", "interval": "1234"})
}

// A successful exec: everything that is known of a process then.
//
// It shows a row of docs/compatibility.md.
func TestExec(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("/bin/true", "one", "two words", "")
	cmd.Args[0] = "custom"
	cmd.Env = []string{"A=1", "B=two"}
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	tr := trace(t, []string{"execve", "execveat", "clone", "clone3", "vfork", "fork"}, func() {
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
	})
	pid := cmd.Process.Pid
	execs := tr.of(event.KindExecve, pid)
	if len(execs) != 1 {
		t.Fatalf("%d execs", len(execs))
	}
	e := execs[0]
	var st unix.Stat_t
	path := "/bin"
	if _, err := os.Readlink(path); err == nil {
		path = "/usr/bin"
	}
	if err := unix.Stat(path+"/true", &st); err != nil {
		t.Fatal(err)
	}
	var nofile unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &nofile); err != nil {
		t.Fatal(err)
	}
	inh, perm, eff := caps(t)
	e.want(t, map[string]string{
		"res": "0", "exe": `"custom"`, "args": quote("one\x00two words\x00\x00"), "tid": num(pid), "pid": num(pid), "ptid": "*",
		"cwd": quote(dir), "fdlimit": "*", "pgft_maj": "*", "pgft_min": "*", "vm_size": "*", "vm_rss": "*", "vm_swap": "0",
		"comm": `"true"`, "cgroups": "*", "cgroup_set": "*", "env": quote("A=1\x00B=two\x00"), "tty": "0", "vpgid": num(pid), "loginuid": num(loginUID(t)),
		"flags": "1", "cap_inheritable": inh, "cap_permitted": perm, "cap_effective": eff,
		"exe_ino": num(st.Ino), "exe_ino_ctime": num(st.Ctim.Nano()), "exe_ino_mtime": num(st.Mtim.Nano()), "uid": "0",
		"trusted_exepath": quote(path + "/true"), "pgid": num(pid), "gid": "0", "filename": `"/bin/true"`,
		"sid": num(pid), "ppid": num(os.Getpid()), "start": "*", "vpid": num(pid), "mntns": num(namespace(t, "mnt")),
		"exec_key": "-", "pidns_init_start_ts": "*",
	})
	checkCgroups(t, e.fields()["cgroups"])

	// Parent and child, state and rule event.
	forks := slices.DeleteFunc(tr.of(event.KindProcfork, os.Getpid()), func(e recorded) bool {
		return e.fields()["child"] != num(pid) // os/exec tries pidfds out
	})
	if len(forks) != 1 {
		t.Fatalf("%d forks", len(forks))
	}
	f := forks[0].fields()
	if f["child"] != num(pid) || f["ppid"] != num(os.Getpid()) || f["start"] != e.fields()["start"] || f["vpid"] != num(pid) {
		t.Errorf("fork %v", f)
	}
	exits := tr.of(event.KindProcexit, pid)
	if len(exits) != 1 {
		t.Fatalf("%d exits", len(exits))
	}
	exits[0].want(t, map[string]string{"status": "0", "ret": "0", "sig": "0", "core": "0", "reaper_tid": "0"})
	if exits[0].Header().Start != e.Header().Start || forks[0].Header().Time > e.Header().Time || e.Header().Time > exits[0].Header().Time {
		t.Error("fork, exec and exit are not in order, or of other processes")
	}
}

func checkCgroups(t *testing.T, got string) {
	t.Helper()
	if len(got) < 20 || got[:10] != `"cpuset=/`[:9]+got[9:10] {
		t.Errorf("cgroups %s", got)
	}
}

// The child's side of a clone has result 0, the parent's the child. A function
// ends in the parent only.
func TestClone(t *testing.T) {
	cmd := exec.Command("/bin/true")
	tr := trace(t, []string{"clone", "clone3", "vfork", "fork"}, func() {
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
	})
	var parent, child []recorded
	for _, e := range tr.events {
		switch e.Kind() {
		case event.KindClone, event.KindClone3, event.KindVfork, event.KindFork:
			switch {
			case e.Header().PID == uint32(cmd.Process.Pid) && e.Header().Res == 0:
				child = append(child, e)
			case e.Header().Res == int64(cmd.Process.Pid):
				parent = append(parent, e)
			}
		}
	}
	if len(parent) != 1 || runtime.GOARCH == "amd64" && Hooks(*hooksFlag) != Functions && len(child) != 1 {
		t.Fatalf("%d events of the parent, %d of the child", len(parent), len(child))
	}
	f := parent[0].fields()
	exe, err := os.ReadFile("/proc/self/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	argv0 := string(exe[:len(unix.ByteSliceToString(exe))])
	dir, _ := os.Getwd()
	if f["exe"] != quote(argv0) || f["args"] != quote(string(exe[len(argv0)+1:])) || f["cwd"] != quote(dir) || f["pid"] != num(os.Getpid()) ||
		f["vpid"] != num(os.Getpid()) {
		t.Errorf("parent: %v", f)
	}
	if len(child) == 1 {
		if f := child[0].fields(); f["res"] != "0" || f["pid"] != num(cmd.Process.Pid) || f["tid"] != num(cmd.Process.Pid) || f["exe"] != quote(argv0) {
			t.Errorf("child: %v", f)
		}
	}
}

func TestExecFailed(t *testing.T) {
	dir := cwd(t, t.TempDir())
	args := []*byte{cstring("prog"), cstring("--flag"), cstring(""), cstring("x\xff"), nil}
	env := []*byte{cstring("K=V"), nil}
	var res int64
	tr := trace(t, []string{"execve"}, func() {
		res = raw(unix.SYS_EXECVE, "./nothing", unsafe.Pointer(&args[0]), unsafe.Pointer(&env[0]))
	})
	e := tr.one(event.KindExecve)
	f := e.fields()
	for name, want := range map[string]string{
		"res": num(res), "exe": `"prog"`, "args": quote("--flag\x00\x00x\xff\x00"), "env": quote("K=V\x00"), "filename": `"./nothing"`, "cwd": quote(dir),
		"pid": num(os.Getpid()), "ppid": num(os.Getppid()), "vpid": num(os.Getpid()),
	} {
		if f[name] != want {
			t.Errorf("%s = %s, want %s", name, f[name], want)
		}
	}
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if f["trusted_exepath"] != quote(exe) {
		t.Errorf("exepath %s", f["trusted_exepath"])
	}
	checkHeader(t, &e, res, "execve")

	tr = trace(t, []string{"execveat"}, func() {
		res = raw(unix.SYS_EXECVEAT, unix.AT_FDCWD, "nothing", unsafe.Pointer(&args[0]), unsafe.Pointer(&env[0]), 0)
	})
	e = tr.one(event.KindExecveat)
	if f := e.fields(); f["exe"] != `"prog"` || f["res"] != num(res) || f["env"] != quote("K=V\x00") {
		t.Errorf("execveat %v", f)
	}
}

func cstring(s string) *byte {
	p, err := unix.BytePtrFromString(s)
	if err != nil {
		panic(err)
	}
	return p
}

func TestExitStatus(t *testing.T) {
	for _, tc := range []struct {
		script string
		want   map[string]string
	}{
		{"exit 7", map[string]string{"status": num(7 << 8), "ret": "7", "sig": "0", "core": "0", "reaper_tid": "0"}},
		{"kill -9 $$", map[string]string{"status": "9", "ret": "0", "sig": "9", "core": "0", "reaper_tid": "0"}},
	} {
		cmd := exec.Command("/bin/sh", "-c", tc.script)
		tr := trace(t, nil, func() { _ = cmd.Run() })
		exits := tr.of(event.KindProcexit, cmd.Process.Pid)
		if len(exits) != 1 {
			t.Fatalf("%s: %d exits", tc.script, len(exits))
		}
		exits[0].want(t, tc.want)
	}
}

// A command line and an environment longer than an event takes.
func TestExecLong(t *testing.T) {
	long := make([]byte, 100<<10)
	for i := range long {
		long[i] = 'a' + byte(i%26)
	}
	cmd := exec.Command("/bin/true", string(long), "last")
	cmd.Env = []string{"LONG=" + string(long)}
	tr := trace(t, nil, func() {
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
	})
	e := tr.of(event.KindExecve, cmd.Process.Pid)[0]
	args, _ := e.Str(e.Info().Slot("args"))
	env, _ := e.Str(e.Info().Slot("env"))
	if len("/bin/true")+1+len(args) != 4096 || args[:100] != string(long[:100]) || args[len(args)-1] != 0 {
		t.Errorf("args have %d bytes", len(args))
	}
	if len(env) != 4096 || env[len(env)-1] != 0 {
		t.Errorf("env has %d bytes", len(env))
	}
	if e.Header().Flags&event.Truncated == 0 {
		t.Error("not marked as cut")
	}
}

func init() {
	helpers["threads"] = func() {
		done := make(chan bool)
		for range 3 {
			go func() { runtime.LockOSThread(); done <- true }() // the thread ends with its goroutine
		}
		for range 3 {
			<-done
		}
	}
}

// The exit of threads is sent on request, and marked.
func TestThreadExits(t *testing.T) {
	needBPF(t)
	p, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{false, true} {
		tr := &tracer{t: t, probe: p}
		tr.drain(now())
		if err := p.SetInterest(Interest{ThreadExits: want}); err != nil {
			t.Fatal(err)
		}
		cmd := helper("threads")
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		tr.events = tr.drain(now())
		var threads, processes int
		for _, e := range tr.of(event.KindProcexit, cmd.Process.Pid) {
			if e.Header().Flags&event.ThreadExit != 0 {
				threads++
			} else {
				processes++
			}
		}
		// Before 6.16 the last two threads, when they end at once, may both
		// look like the last.
		twice := processes == 2 && !exitSaysGroupDead(btf.NewCache())
		if processes != 1 && !twice || (threads > 0) != want {
			t.Errorf("asked %v: %d exits of threads, %d of the process", want, threads, processes)
		}
	}
}
