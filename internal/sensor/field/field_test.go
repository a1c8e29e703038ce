package field_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/test/support/fieldtest"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// shells is a cat, under python, under three shells.
func shells(t testing.TB) *fieldtest.World {
	return fieldtest.New(t,
		fieldtest.Proc{PID: 10, PPID: 1, Comm: "bash", Argv: []string{"-bash"}, ExePath: "/usr/bin/bash", Env: []string{"SHELL=/bin/bash", "A=1"}},
		fieldtest.Proc{PID: 11, PPID: 10, Comm: "bash", Argv: []string{"bash", "x.sh"}, ExePath: "/usr/bin/bash", SID: 10},
		fieldtest.Proc{PID: 13, PPID: 11, Comm: "python3", Argv: []string{"python3", "run.py"}, ExePath: "/usr/bin/python3.11", SID: 10, PGID: 11, VPGID: 11},
		fieldtest.Proc{
			PID: 14, PPID: 13, Comm: "cat", Argv: []string{"/bin/cat", "/etc/shadow", "-n"}, ExePath: "/usr/bin/cat", SID: 10, PGID: 11, VPGID: 11,
			Env: []string{"HOME=/root", "PATH=/bin:/usr/bin"}, CWD: "/srv/data", TTY: 34816, Caps: 1<<0 | 1<<21, LoginUID: 1000, UID: 1000, GID: 1000,
			Ino: 77, CTime: fieldtest.Now - 5e9, MTime: fieldtest.Now - 6e9, Start: 2e9, PIDNSStart: 3e9, Flags: 1 | 8,
			Cgroups: []string{"cpu=/user.slice", "memory=/user.slice/a"},
		},
	)
}

// value is the field's value as text, "-" when it is missing. Fields with
// several values are joined by commas.
func value(t testing.TB, c *field.Context, text string) string {
	t.Helper()
	_, x, err := field.Lookup(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return valueOf(x, c)
}

func valueOf(x field.Extractor, c *field.Context) string {
	s, ok := anyValue(x, c)
	if !ok {
		return "-"
	}
	return s
}

func check(t *testing.T, c *field.Context, want map[string]string) {
	t.Helper()
	got := make(map[string]string)
	for name := range want {
		got[name] = value(t, c, name)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}

func openat(params ...fieldtest.Param) []fieldtest.Param {
	return append([]fieldtest.Param{
		fieldtest.Num("fd", 3), fieldtest.Num("dirfd", -100), fieldtest.Text("name", "/etc/shadow"), fieldtest.Num("flags", 1),
		fieldtest.File(event.FileInfo{Type: event.FDFile, Ino: 42, Dev: 0x800002}, ""),
	}, params...)
}

func TestProcess(t *testing.T) {
	c := shells(t).Event(t, 14, event.KindOpenat, openat()...)
	check(t, c, map[string]string{
		"proc.name": "cat", "proc.pname": "python3", "proc.exe": "/bin/cat", "proc.pexe": "python3",
		"proc.exepath": "/usr/bin/cat", "proc.pexepath": "/usr/bin/python3.11",
		"proc.args": "/etc/shadow -n", "proc.args[0]": "/etc/shadow", "proc.args[1]": "-n", "proc.args[2]": "",
		"proc.cmdline": "cat /etc/shadow -n", "proc.pcmdline": "python3 run.py", "proc.exeline": "/bin/cat /etc/shadow -n",
		"proc.cmdnargs": "2", "proc.cmdlenargs": "13",
		"proc.env": "HOME=/root PATH=/bin:/usr/bin", "proc.env[HOME]": "/root", "proc.env[NONE]": "",
		"proc.cwd": "/srv/data/", "proc.tty": "34816", "proc.pid": "14", "proc.ppid": "13", "proc.vpid": "14", "proc.pvpid": "13",
		"proc.sid": "10", "proc.pgid": "11", "proc.vpgid": "11",
		"proc.sname": "bash", "proc.sid.exe": "-bash", "proc.sid.exepath": "/usr/bin/bash",
		"proc.pgid.name": "bash", "proc.pgid.exe": "bash", "proc.vpgid.name": "bash", "proc.vpgid.exepath": "/usr/bin/bash",
		"proc.loginshellid": "10", "proc.is_sid_leader": "false", "proc.is_pgid_leader": "false", "proc.is_vpgid_leader": "false",
		"proc.aname[0]": "cat", "proc.aname[1]": "python3", "proc.aname[2]": "bash", "proc.aname[4]": "-", "proc.aname": "python3,bash,bash",
		"proc.aexe[2]": "bash", "proc.aexepath[1]": "/usr/bin/python3.11", "proc.acmdline[2]": "bash x.sh", "proc.aargs[2]": "x.sh",
		"proc.apid[1]": "13", "proc.apid": "13,11,10", "proc.apid[9]": "-",
		"proc.aenv[3]": "SHELL=/bin/bash A=1", "proc.aenv[SHELL]": "/bin/bash", "proc.aenv[NONE]": "-",
		"proc.duration": "2000000000", "proc.ppid.duration": "98000000000", "proc.pid.ts": "1795359511447936116",
		"proc.is_exe_writable": "true", "proc.is_exe_upper_layer": "false", "proc.is_exe_lower_layer": "true", "proc.is_exe_from_memfd": "false",
		"proc.exe_ino": "77", "proc.exe_ino.ctime": "1795359508447936116", "proc.exe_ino.mtime": "1795359507447936116",
		"proc.exe_ino.ctime_duration_proc_start": "3000000000", "proc.exe_ino.ctime_duration_pidns_start": "-",
		"proc.pidns_init_start_ts": "1795359510447936116",
		"thread.cap_effective":     "CAP_CHOWN CAP_SYS_ADMIN", "thread.cap_permitted": "CAP_CHOWN CAP_SYS_ADMIN", "thread.cap_inheritable": "",
		"thread.tid": "14", "thread.vtid": "14", "thread.ismain": "true",
		"thread.cgroups": "cpu=/user.slice memory=/user.slice/a", "thread.cgroup.memory": "/user.slice/a", "thread.cgroup[cpu]": "/user.slice", "thread.cgroup.pids": "-",
		"user.uid": "1000", "user.name": "alice", "user.homedir": "/home/alice", "user.shell": "/bin/zsh",
		"user.loginuid": "1000", "user.loginname": "alice", "group.gid": "1000", "group.name": "staff",
		"proc.fdlimit": "1024", "proc.nthreads": "1", "proc.nchilds": "0", "proc.fdopencount": "-", "proc.stdin.type": "-", "fd.types": "-",
	})
}

func TestUnknownProcess(t *testing.T) {
	c := fieldtest.New(t).Event(t, 99, event.KindOpenat, openat()...)
	check(t, c, map[string]string{
		"proc.name": "<NA>", "proc.exe": "<NA>", "proc.cmdline": "<NA>", "proc.pname": "-", "proc.aname[1]": "-", "proc.aname": "-",
		"proc.exepath": "", "proc.args": "", "proc.vpid": "-", "user.loginuid": "-1", "user.loginname": "<NA>", "container.id": "host",
	})
}

func TestEvent(t *testing.T) {
	w := shells(t)
	w.Event(t, 14, event.KindOpenat, openat()...)
	c := w.Event(t, 14, event.KindOpenat, openat()...)
	check(t, c, map[string]string{
		"evt.num": "2", "evt.rawtime": "1795359513447936116", "evt.rawtime.s": "1795359513", "evt.rawtime.ns": "447936116",
		"evt.time.iso8601": "2026-11-22T14:58:33.447936116+0000", "evt.reltime": "0", "evt.deltatime": "0",
		"evt.type": "openat", "syscall.type": "openat", "evt.type.is.openat": "1", "evt.type.is[close]": "0", "evt.dir": "<",
		"evt.source": "syscall", "evt.hostname": "vm", "evt.category": "file", "evt.cpu": "1", "evt.is_async": "false", "evt.asynctype": "-",
		"evt.res": "SUCCESS", "evt.rawres": "3", "evt.failed": "false", "evt.count": "1", "evt.count.error": "-", "evt.count.exit": "1",
		"evt.is_io": "false", "evt.io_dir": "-", "evt.is_wait": "false", "evt.buflen": "-", "evt.buffer": "-", "evt.is_syslog": "false",
		"evt.latency": "0", "evt.latency.human": "0ns", "evt.pluginname": "-",
		"evt.args":    "fd=3(<f>/etc/shadow) dirfd=-100(AT_FDCWD) name=/etc/shadow flags=1(O_RDONLY) mode=0 dev=0 ino=0",
		"evt.arg.fd":  "<f>/etc/shadow",
		"evt.arg[1]":  "AT_FDCWD",
		"evt.arg[30]": "-", "evt.arg.backlog": "-",
		"evt.arg.flags": "O_RDONLY", "evt.rawarg.flags": "1", "evt.rawarg.fd": "3", "evt.rawarg.name": "/etc/shadow", "evt.abspath": "/etc/shadow",
		"evt.is_open_read": "true", "evt.is_open_write": "false", "evt.is_open_exec": "false", "evt.is_open_create": "false",
		"fd.num": "3", "fd.type": "file", "fd.typechar": "f", "fd.name": "/etc/shadow", "fd.nameraw": "/etc/shadow",
		"fd.directory": "/etc", "fd.filename": "shadow", "fd.ino": "42", "fd.dev": "8388610", "fd.dev.major": "0", "fd.dev.minor": "2050",
		"fd.uid": "143", "fd.containername": "host:/etc/shadow", "fd.containerdirectory": "host:/etc",
		"fd.is_upper_layer": "false", "fd.l4proto": "<NA>", "fd.sip": "-", "fd.ip": "-", "fd.port": "-", "fd.sockfamily": "-", "fd.connected": "false",
		"fs.path.name": "/etc/shadow", "fs.path.nameraw": "/etc/shadow", "fs.path.source": "-",
		"container.id": "host", "container.name": "host", "container.type": "host", "container.image.repository": "", "container.privileged": "false",
		"container.mounts": "", "container.start_ts": "-", "container.label.app": "-", "k8s.ns.name": "-", "k8s.pod.labels": "-",
		"static.site": "-",
	})
}

func TestLookupErrors(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"proc.nosuch", "filter_check called with nonexistent field proc.nosuch"},
		{"proc.name.x", "nonexistent field"},
		{"", "nonexistent field"},
		{"evt.arg", "requires an argument"},
		{"evt.arg.nosuch", "unknown event argument nosuch"},
		{"evt.type.is.nosuch", "unknown event type nosuch"},
		{"proc.name[1]", "takes no argument"},
		{"proc.aname[x]", `argument "x": expected a number`},
		{"proc.aname[99999999999]", "expected a number"},
		{"evt.around[x]", "expected a time"}, {"evt.around[1s]", "expected a time"},
		{"evt.abspath.up", "expected src or dst"},
	} {
		_, _, err := field.Lookup(tt.text)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Lookup(%q) = %v, want an error with %q", tt.text, err, tt.want)
		}
	}
}

// Every field has a doc, a getter for its type, and gives values of that type
// for every kind of event without a panic.
func TestEveryFieldOnEveryKind(t *testing.T) {
	w := shells(t)
	for _, f := range field.Syscall.All() {
		if f.Doc == "" || !strings.HasSuffix(strings.TrimRight(f.Doc, "."), f.Doc[:len(f.Doc)-1]) {
			t.Errorf("%s: doc %q is not a sentence", f.Name, f.Doc)
		}
		for _, text := range sampleTexts(f) {
			got, x, err := field.Lookup(text)
			if err != nil || got != f {
				t.Errorf("Lookup(%s) = %v, %v", text, got, err)
				continue
			}
			want := f.Stage
			if want == field.AtKernel {
				want = field.AtEvent
			}
			if x.Stage != want {
				t.Errorf("%s: read at %s, field says %s", text, x.Stage, f.Stage)
			}
			for k := range event.Kind(event.NumKinds) {
				anyValue(x, w.Event(t, 14, k))
			}
		}
	}
}

// sampleTexts are ways to write the field, with an argument if it takes one.
func sampleTexts(f *field.Field) []string {
	if f.Arg == field.NoArg {
		return []string{f.Name}
	}
	arg := "1"
	switch f.Name {
	case "evt.type.is":
		arg = "open"
	case "evt.abspath":
		arg = "src"
	case "evt.arg", "evt.rawarg":
		arg = "name"
	}
	texts := []string{f.Name + "[" + arg + "]"}
	if f.Arg == field.ArgAllowed {
		texts = append(texts, f.Name)
	}
	return texts
}

// The values of an event do not depend on the order in which they are asked
// for, though they are built in shared memory.
func TestOrderOfEvaluation(t *testing.T) {
	w := shells(t)
	var texts []string
	for _, f := range field.Syscall.All() {
		texts = append(texts, sampleTexts(f)...)
	}
	c := w.Event(t, 14, event.KindOpenat, openat(fieldtest.Text("name", "../x//y"), fieldtest.Text("base", "/a/b"), fieldtest.Num("dirfd", 4))...)
	want := make(map[string]string)
	for _, text := range texts {
		c.Reset()
		want[text] = value(t, c, text)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		c.Reset()
		type kept struct{ s, copy string }
		got := make(map[string]kept)
		for _, i := range r.Perm(len(texts)) {
			_, x, err := field.Lookup(texts[i])
			if err != nil {
				t.Fatal(err)
			}
			if s := valueOf(x, c); s != want[texts[i]] {
				t.Fatalf("%s = %q, alone it is %q", texts[i], s, want[texts[i]])
			}
			if x.Match == field.One && x.Str != nil {
				s, _ := x.Str(c)
				got[texts[i]] = kept{s, strings.Clone(s)}
			}
		}
		for text, k := range got {
			if k.s != k.copy {
				t.Fatalf("%s changed from %q to %q", text, k.copy, k.s)
			}
		}
	}
}

// Facts known at exec are read without an event.
func TestProcessFieldsNeedNoEvent(t *testing.T) {
	c := shells(t).Event(t, 14, event.KindClose)
	c.Event = nil
	for _, f := range field.Syscall.All() {
		if f.Stage != field.AtExec {
			continue
		}
		for _, text := range sampleTexts(f) {
			value(t, c, text)
		}
	}
}
