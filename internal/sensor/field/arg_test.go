package field_test

import (
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/test/support/fieldtest"
)

// How every type of parameter reads: evt.arg, and its part of evt.args.
func TestArgs(t *testing.T) {
	w := shells(t)
	for _, tt := range []struct {
		kind      event.Kind
		param     fieldtest.Param
		name      string
		arg, args string
	}{
		{event.KindClose, fieldtest.Num("res", 0), "res", "0", "res=0 fd=0"},
		{event.KindClose, fieldtest.Num("res", -13), "res", "EACCES", "res=-13(EACCES) fd=0"},
		{event.KindKill, fieldtest.Num("pid", 13), "pid", "python3", "res=0 pid=13(python3) sig=0"},
		{event.KindKill, fieldtest.Num("pid", 999), "pid", "999", "res=0 pid=999 sig=0"},
		{event.KindKill, fieldtest.Num("sig", 9), "sig", "SIGKILL", "res=0 pid=0 sig=9(SIGKILL)"},
		{event.KindSetuid, fieldtest.Num("uid", 1000), "uid", "alice", "res=0 uid=1000(alice)"},
		{event.KindSetuid, fieldtest.Num("uid", 4242), "uid", "<NA>", "res=0 uid=4242(<NA>)"},
		{event.KindSetuid, fieldtest.Num("uid", 0xffffffff), "uid", "<NONE>", "res=0 uid=-1(<NONE>)"},
		{event.KindSetgid, fieldtest.Num("gid", 1000), "gid", "staff", "res=0 gid=1000(staff)"},
		{event.KindMkdir, fieldtest.Num("mode", 0o755), "mode", "1ED", "res=0 path=NULL mode=1ED"},
		{event.KindChmod, fieldtest.Num("mode", 0o4755), "mode", "S_IXOTH|S_IROTH|S_IXGRP|S_IRGRP|S_IXUSR|S_IWUSR|S_IRUSR|S_ISUID",
			"res=0 filename=NULL mode=4755(S_IXOTH|S_IROTH|S_IXGRP|S_IRGRP|S_IXUSR|S_IWUSR|S_IRUSR|S_ISUID)"},
		{event.KindChmod, fieldtest.Num("mode", 0), "mode", "0", "res=0 filename=NULL mode=0"},
		{event.KindMknod, fieldtest.Num("mode", 0o060644), "mode", "S_IROTH|S_IRGRP|S_IWUSR|S_IRUSR|S_IFBLK", "res=0 path=NULL mode=60644(S_IROTH|S_IRGRP|S_IWUSR|S_IRUSR|S_IFBLK) dev=0"},
		{event.KindUnshare, fieldtest.Num("flags", 1<<20|1<<4), "flags", "CLONE_NEWNET|CLONE_NEWUSER", "res=0 flags=1048592(CLONE_NEWNET|CLONE_NEWUSER)"},
		{event.KindUnshare, fieldtest.Num("flags", 1<<31), "flags", "2147483648", "res=0 flags=2147483648"},
		{event.KindMprotect, fieldtest.Num("prot", 0), "prot", "PROT_NONE", "res=0 addr=0 length=0 prot=0(PROT_NONE)"},
		{event.KindMprotect, fieldtest.Num("addr", 0xbeef), "addr", "BEEF", "res=0 addr=BEEF length=0 prot=0(PROT_NONE)"},
		{event.KindAccess, fieldtest.Num("mode", 5), "mode", "R_OK|X_OK", "res=0 name=NULL mode=5(R_OK|X_OK)"},
		{event.KindShutdown, fieldtest.Num("how", 2), "how", "SHUT_RDWR", "res=0 fd=0 how=2(SHUT_RDWR)"},
		{event.KindShutdown, fieldtest.Num("how", 9), "how", "9", "res=0 fd=0 how=9"},
		{event.KindSocket, fieldtest.Num("domain", 1), "domain", "AF_LOCAL|AF_UNIX", "fd=0 domain=1(AF_LOCAL|AF_UNIX) type=0 proto=0 flags=0(O_NONE)"},
		{event.KindNanosleep, fieldtest.Num("interval", 1_500_000_000), "interval", "1.5s", "res=0 interval=1500000000(1.5s)"},
		{event.KindNanosleep, fieldtest.Num("interval", -1), "interval", "none", "res=0 interval=none"},
		{event.KindPpoll, fieldtest.Num("sigmask", 1<<1|1<<16), "sigmask", "SIGINT SIGCHLD", "res=0 fds=NULL timeout=0(0s) sigmask=SIGINT SIGCHLD"},
		{event.KindPoll, fieldtest.Text("fds", "\x02\x00\x05\x00\x00\x00\x00\x00\x00\x00\x01\x00\x07\x00\x00\x00\x00\x00\x00\x00\x41\x00"), "fds", "5:?1 7:?41", "res=0 fds=5:?1 7:?41 timeout=0"},
		{event.KindListen, fieldtest.Num("backlog", -1), "backlog", "-1", "res=0 fd=0 backlog=-1"},
		{event.KindWrite, fieldtest.Text("data", "a\x00\xffb"), "data", "a..b", "res=0 data=a..b fd=0 size=0"},
		{event.KindMemfdCreate, fieldtest.Text("name", "x y"), "name", "x y", "fd=0 name=x y flags=0"},
		{event.KindMemfdCreate, fieldtest.Text("name", ""), "name", "", "fd=0 name= flags=0"},
		{event.KindChmod, fieldtest.Text("filename", "x"), "filename", "<UNKNOWN>x", "res=0 filename=x(<UNKNOWN>x) mode=0"},
		{event.KindPtrace, fieldtest.Text("addr", string(rune(event.SigType))+"\x09\x00\x00\x00\x00\x00\x00\x00"), "addr", "SIGKILL", "res=0 addr=9(SIGKILL) data=NULL request=0(PTRACE_UNKNOWN) pid=0"},
		{event.KindPtrace, fieldtest.Text("data", string(rune(event.Uint64))+"\xff\x00\x00\x00\x00\x00\x00\x00"), "data", "FF", "res=0 addr=NULL data=FF request=0(PTRACE_UNKNOWN) pid=0"},
		{event.KindBpf, fieldtest.Num("cmd", 10), "cmd", "BPF_PROG_TEST_RUN|BPF_PROG_RUN", "fd=0 cmd=10(BPF_PROG_TEST_RUN|BPF_PROG_RUN)"},
		{event.KindFchdir, fieldtest.Num("fd", -100), "fd", "AT_FDCWD", "res=0 fd=-100(AT_FDCWD)"},
		{event.KindBind, fieldtest.Text("addr", "\x02\x7f\x00\x00\x01\x50\x00"), "addr", "127.0.0.1:80", "res=0 addr=127.0.0.1:80 fd=0"},
		{event.KindBind, fieldtest.Text("addr", "\x01/run/x"), "addr", "/run/x", "res=0 addr=/run/x fd=0"},
		{event.KindBind, fieldtest.Text("addr", "\x11"), "addr", "family 17", "res=0 addr=family 17 fd=0"},
		{event.KindBind, fieldtest.Text("addr", "\x02\x7f"), "addr", "family 2", "res=0 addr=family 2 fd=0"},
		{event.KindConnect, fieldtest.Text("tuple", "\x02"+"\x0a\x00\x00\x01\x40\x9c"+"\x0a\x00\x00\x02\xbb\x01"), "tuple", "10.0.0.1:40000->10.0.0.2:443", "res=0 tuple=10.0.0.1:40000->10.0.0.2:443 fd=0 addr=NULL"},
		{event.KindConnect, fieldtest.Text("tuple", "\x01\x00/run/x"), "tuple", "->/run/x", "res=0 tuple=->/run/x fd=0 addr=NULL"},
		{event.KindGetsockopt, fieldtest.Text("val", string(rune(event.Errno))+"\x91\xff\xff\xff\xff\xff\xff\xff"), "val", "ECONNREFUSED", "res=0 fd=0 level=0(UNKNOWN) optname=0(UNKNOWN) val=-111(ECONNREFUSED) optlen=0"},
		{event.KindGetsockopt, fieldtest.Text("val", string(rune(event.Bytes))+"a\x00b"), "val", "a.b", "res=0 fd=0 level=0(UNKNOWN) optname=0(UNKNOWN) val=a.b optlen=0"},
	} {
		c := w.Event(t, 14, tt.kind, tt.param)
		if got := value(t, c, "evt.arg."+tt.name); got != tt.arg {
			t.Errorf("%v: evt.arg.%s = %q, want %q", tt.kind, tt.name, got, tt.arg)
		}
		if got := value(t, c, "evt.args"); got != tt.args {
			t.Errorf("%v: evt.args\n got %q\nwant %q", tt.kind, got, tt.args)
		}
	}
}

func TestBase64Buffers(t *testing.T) {
	w := shells(t)
	w.Context.Static.Base64, w.Context.Static.Snaplen = true, 3
	c := w.Event(t, 14, event.KindWrite, fieldtest.Text("data", "abcdef"))
	check(t, c, map[string]string{"evt.arg.data": "YWJj", "evt.buffer": "abc"})
}

// TestRawArgTypes shows a row of docs/compatibility.md.
func TestRawArgTypes(t *testing.T) {
	for name, want := range map[string]field.Type{
		"fd": field.Int, "res": field.Int, "flags": field.Uint, "name": field.String, "data": field.Bytes, "interval": field.RelTime,
	} {
		if _, x, err := field.Lookup("evt.rawarg." + name); err != nil || x.Type != want {
			t.Errorf("evt.rawarg.%s has type %v (%v), want %v", name, x.Type, err, want)
		}
	}
}

// When the time of day has been set, the pid namespace of a clone has started by
// the new one, as proc.pidns_init_start_ts says.
func TestPIDNamespaceStartAfterRedate(t *testing.T) {
	w := fieldtest.New(t, fieldtest.Proc{PID: 7, Comm: "sh"})
	ts := func(n int64) *field.Context {
		return w.Event(t, 7, event.KindClone, fieldtest.Num("pidns_init_start_ts", n))
	}
	w.Table.Redate(time.Hour)
	check(t, ts(1_700_000_000_000_000_000), map[string]string{
		"evt.arg.pidns_init_start_ts": "1700003600000000000", "evt.rawarg.pidns_init_start_ts": "1700003600000000000",
	})
	check(t, ts(0), map[string]string{"evt.arg.pidns_init_start_ts": "0", "evt.rawarg.pidns_init_start_ts": "0"})
	w.Table.Redate(-2 * time.Hour)
	check(t, ts(1_700_000_000_000_000_000), map[string]string{"evt.rawarg.pidns_init_start_ts": "1699996400000000000"})
}
