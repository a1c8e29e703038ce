package field_test

import (
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/test/support/fieldtest"
)

const (
	tcp, udp = 6, 17
	v4       = "\x0a\x00\x00\x01\x0a\x00\x00\x02" // 10.0.0.1, 10.0.0.2
	v4Bound  = "\x7f\x00\x00\x01\x00\x00\x00\x00"
	v4None   = "\x00\x00\x00\x00\x00\x00\x00\x00"
	v6       = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\xfe\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02"
	v4Mapped = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x0a\x00\x00\x01" + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x0a\x00\x00\x02"
)

// TestSockets shows a row of docs/compatibility.md.
func TestSockets(t *testing.T) {
	w := shells(t)
	for _, tt := range []struct {
		name string
		file event.FileInfo
		data string
		want map[string]string
	}{
		{
			"client", event.FileInfo{Type: event.FDIPv4, L4Proto: tcp, Flags: event.FileClient | event.FileConnected, SPort: 40000, DPort: 443}, v4,
			map[string]string{
				"fd.name": "10.0.0.1:40000->10.0.0.2:443", "fd.type": "ipv4", "fd.typechar": "4", "fd.sockfamily": "ip", "fd.l4proto": "tcp",
				"fd.cip": "10.0.0.1", "fd.sip": "10.0.0.2", "fd.lip": "10.0.0.1", "fd.rip": "10.0.0.2",
				"fd.cport": "40000", "fd.sport": "443", "fd.lport": "40000", "fd.rport": "443",
				"fd.ip": "10.0.0.2,10.0.0.1", "fd.port": "443,40000", "fd.proto": "443,40000", "fd.net": "10.0.0.2,10.0.0.1",
				"fd.cnet": "10.0.0.1", "fd.snet": "10.0.0.2", "fd.rnet": "10.0.0.2", "fd.lnet": "10.0.0.1",
				"fd.is_server": "false", "fd.connected": "true", "fd.name_changed": "true", "fd.sip.name": "-", "fd.filename": "-", "fd.directory": "-",
			},
		},
		{
			"server", event.FileInfo{Type: event.FDIPv4, L4Proto: tcp, Flags: event.FileServer | event.FileConnected, SPort: 80, DPort: 40000}, v4,
			map[string]string{
				"fd.name": "10.0.0.2:40000->10.0.0.1:80", "fd.cip": "10.0.0.2", "fd.sip": "10.0.0.1", "fd.lip": "10.0.0.1", "fd.rip": "10.0.0.2",
				"fd.lport": "80", "fd.rport": "40000", "fd.is_server": "true",
			},
		},
		{
			"bound", event.FileInfo{Type: event.FDIPv4, L4Proto: tcp, SPort: 8080}, v4Bound,
			map[string]string{
				"fd.name": "127.0.0.1:8080", "fd.sip": "127.0.0.1", "fd.sport": "8080", "fd.cip": "-", "fd.cport": "-", "fd.rip": "-",
				"fd.lip": "127.0.0.1", "fd.ip": "127.0.0.1", "fd.port": "8080", "fd.is_server": "true", "fd.connected": "false",
			},
		},
		{
			"new", event.FileInfo{Type: event.FDIPv4, L4Proto: udp}, v4None,
			map[string]string{"fd.name": "", "fd.sip": "-", "fd.ip": "-", "fd.port": "-", "fd.l4proto": "udp", "fd.is_server": "false"},
		},
		{
			"v6", event.FileInfo{Type: event.FDIPv6, L4Proto: tcp, SPort: 1, DPort: 2}, v6,
			map[string]string{"fd.name": "::1:1->fe80::2:2", "fd.type": "ipv6", "fd.typechar": "6", "fd.sip": "fe80::2"},
		},
		{
			"v4 in v6", event.FileInfo{Type: event.FDIPv6, L4Proto: tcp, SPort: 1, DPort: 2}, v4Mapped,
			map[string]string{"fd.name": "10.0.0.1:1->10.0.0.2:2", "fd.sip": "10.0.0.2", "fd.net": "10.0.0.2,10.0.0.1"},
		},
		{
			"unix", event.FileInfo{Type: event.FDUnix, Flags: event.FileConnected}, "\x00/run/docker.sock",
			map[string]string{"fd.name": "->/run/docker.sock", "fd.type": "unix", "fd.typechar": "u", "fd.sockfamily": "unix", "fd.l4proto": "<NA>", "fd.sip": "-"},
		},
		{
			"unix bound", event.FileInfo{Type: event.FDUnix, Flags: event.FileListening}, "@abstract\x00",
			map[string]string{"fd.name": "@abstract"},
		},
		{
			"short data", event.FileInfo{Type: event.FDIPv4, SPort: 5}, "\x01",
			map[string]string{"fd.name": ":5", "fd.sip": "-", "fd.ip": "-", "fd.port": "-"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			check(t, w.Event(t, 14, event.KindConnect, fieldtest.Num("fd", 4), fieldtest.File(tt.file, tt.data)), tt.want)
		})
	}
}

func TestSyslog(t *testing.T) {
	c := shells(t).Event(t, 14, event.KindSendto, fieldtest.Num("res", 5), fieldtest.Text("data", "<13>x"),
		fieldtest.File(event.FileInfo{Type: event.FDUnix, Flags: event.FileConnected}, "\x00/run/systemd/journal/dev-log"))
	check(t, c, map[string]string{
		"evt.is_syslog": "true", "evt.buffer": "<13>x", "evt.buflen": "5", "evt.io_dir": "write", "evt.is_io_write": "true", "evt.category": "ipc",
	})
}

func TestFailedOpens(t *testing.T) {
	w := shells(t)
	for _, tt := range []struct {
		name   string
		kind   event.Kind
		params []fieldtest.Param
		want   map[string]string
	}{
		{
			"not there", event.KindOpen, []fieldtest.Param{fieldtest.Num("fd", -2), fieldtest.Text("name", "/no/file")},
			map[string]string{
				"fd.num": "-1", "fd.typechar": "f", "fd.type": "-", "fd.name": "/no/file", "fd.directory": "/no", "fd.filename": "-",
				"fs.path.name": "/no/file", "fs.path.nameraw": "/no/file", "evt.res": "ENOENT", "evt.failed": "true",
				"evt.arg.fd": "ENOENT", "evt.count.error": "1", "evt.count.error.file": "1", "evt.count.error.net": "-",
			},
		},
		{
			"a loop", event.KindOpen, []fieldtest.Param{fieldtest.Num("fd", -40), fieldtest.Text("name", "/loop")},
			map[string]string{"fs.path.name": "/loop", "evt.res": "ELOOP"},
		},
		{
			"not permitted", event.KindOpen, []fieldtest.Param{fieldtest.Num("fd", -1), fieldtest.Text("name", "/x")},
			map[string]string{"fs.path.name": "-", "fs.path.nameraw": "-", "evt.res": "EPERM"},
		},
		{
			"bad directory", event.KindOpenat, []fieldtest.Param{fieldtest.Num("fd", -9), fieldtest.Num("dirfd", 77), fieldtest.Text("name", "a/../b")},
			map[string]string{"fd.name": "<UNKNOWN>b", "evt.arg.name": "<UNKNOWN>b", "fd.nameraw": "a/../b"},
		},
		{
			"unreadable name", event.KindOpen, []fieldtest.Param{fieldtest.Num("fd", -14)},
			map[string]string{"fd.name": "-", "fd.directory": "-", "evt.arg.name": "NULL", "fd.nameraw": "-", "evt.res": "EFAULT"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) { check(t, w.Event(t, 14, tt.kind, tt.params...), tt.want) })
	}
}

// TestOpens shows a row of docs/compatibility.md.
func TestOpens(t *testing.T) {
	file := fieldtest.File(event.FileInfo{Type: event.FDFile}, "")
	const rdonly, wronly, creat, directory, tmpfile, created = 1, 2, 4, 1 << 10, 1 << 13, 1 << 14
	flags := func(n int64) fieldtest.Param { return fieldtest.Num("flags", n) }
	w := shells(t)
	for _, tt := range []struct {
		name   string
		kind   event.Kind
		params []fieldtest.Param
		want   map[string]string
	}{
		{
			"relative", event.KindOpenat, []fieldtest.Param{fieldtest.Num("dirfd", 5), fieldtest.Text("name", "../b//./c"), fieldtest.Text("base", "/x/y"), flags(wronly | creat), fieldtest.Num("mode", 0o755), file},
			map[string]string{
				"fd.name": "/x/b/c", "fd.nameraw": "../b/./c", "evt.arg.name": "/x/b/c", "evt.rawarg.name": "../b//./c", "evt.abspath": "/x/b/c",
				"fs.path.name": "/x/b/c", "fs.path.nameraw": "../b//./c", "evt.arg.dirfd": "<d>/x/y", "evt.arg.flags": "O_CREAT|O_WRONLY",
				"evt.is_open_write": "true", "evt.is_open_read": "false", "evt.is_open_exec": "true", "evt.is_open_create": "false",
				"evt.args": "fd=0(<f>/x/b/c) dirfd=5(<d>/x/y) name=../b//./c(/x/b/c) flags=6(O_CREAT|O_WRONLY) mode=0755 dev=0 ino=0",
			},
		},
		{
			"creat", event.KindCreat, []fieldtest.Param{fieldtest.Num("fd", 4), fieldtest.Text("name", "/n"), fieldtest.Num("mode", 0o644), file},
			map[string]string{
				"fd.name": "/n", "evt.is_open_write": "true", "evt.is_open_read": "false", "evt.is_open_create": "true", "evt.is_open_exec": "false", "fs.path.name": "/n",
			},
		},
		{
			"created", event.KindOpen, []fieldtest.Param{flags(rdonly | wronly | creat | created), fieldtest.Text("name", "n"), fieldtest.Text("base", "/"), file},
			map[string]string{"fd.name": "/n", "evt.is_open_create": "true", "evt.is_open_read": "true", "evt.is_open_write": "true", "evt.arg.flags": "O_CREAT|O_RDWR|O_F_CREATED"},
		},
		{
			"directory", event.KindOpen, []fieldtest.Param{flags(rdonly | directory | tmpfile), fieldtest.Num("mode", 0o700), fieldtest.Text("name", "/d/"), fieldtest.File(event.FileInfo{Type: event.FDDirectory}, "")},
			map[string]string{
				"fd.typechar": "d", "fd.type": "directory", "fd.name": "/d", "fd.directory": "/d", "fd.filename": "-",
				"evt.is_open_create": "false", "evt.is_open_exec": "false", "evt.arg.flags": "O_DIRECTORY|O_RDONLY|O_TMPFILE",
			},
		},
		{
			"tmpfile", event.KindOpen, []fieldtest.Param{flags(rdonly | wronly | directory | tmpfile), fieldtest.Num("mode", 0o700), fieldtest.Text("name", "/d"), file},
			map[string]string{"fd.typechar": "d", "fd.type": "directory", "fd.name": "/d", "evt.is_open_create": "true", "evt.is_open_exec": "true"},
		},
		{
			"by handle", event.KindOpenByHandleAt, []fieldtest.Param{fieldtest.Num("fd", 4), flags(rdonly), fieldtest.Text("path", "/etc/shadow"), file},
			map[string]string{"fd.name": "/etc/shadow", "evt.is_open_read": "true", "fs.path.name": "/etc/shadow", "fd.nameraw": "/etc/shadow"},
		},
		{
			"by handle, resolved only", event.KindOpenByHandleAt, []fieldtest.Param{fieldtest.Num("fd", 4), flags(rdonly), fieldtest.File(event.FileInfo{Type: event.FDFile}, "/etc/shadow")},
			map[string]string{"fd.name": "/etc/shadow"},
		},
		{
			"too long", event.KindOpen, []fieldtest.Param{fieldtest.Text("name", "/etc/"+strings.Repeat("./", 600)+"shadow"), file},
			map[string]string{"fd.name": "/DIR_TOO_LONG/FILENAME_TOO_LONG"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) { check(t, w.Event(t, 14, tt.kind, tt.params...), tt.want) })
	}
}

// An open has two names where a link is on the way.
func TestResolvedName(t *testing.T) {
	w := shells(t)
	c := w.Event(t, 14, event.KindOpen, fieldtest.Num("fd", 3), fieldtest.Text("name", "/tmp/link"), fieldtest.File(event.FileInfo{Type: event.FDFile}, "/etc/shadow"))
	check(t, c, map[string]string{"fd.name": "/tmp/link", "fd.filename": "link", "fs.path.name": "/tmp/link"})
	c.Use(1)
	check(t, c, map[string]string{"fd.name": "/etc/shadow", "fd.filename": "shadow", "fd.directory": "/etc", "fs.path.name": "/etc/shadow", "fd.nameraw": "/tmp/link"})
	if c.Names() != 2 {
		t.Errorf("%d names of an open through a link, want 2", c.Names())
	}
	c.Use(0)
	check(t, c, map[string]string{"fd.name": "/tmp/link"})
	for _, tt := range []struct {
		given, resolved string
		want            int
	}{{"/etc/x/../shadow", "/etc/shadow", 1}, {"/etc/shadow", "", 1}, {"/l", "/etc", 2}, {"/s", "/jail/s\x00/s", 3}} {
		c := w.Event(t, 14, event.KindOpen, fieldtest.Text("name", tt.given), fieldtest.File(event.FileInfo{Type: event.FDFile}, tt.resolved))
		if c.Names() != tt.want {
			t.Errorf("%s resolved to %q: %d names, want %d", tt.given, tt.resolved, c.Names(), tt.want)
		}
	}
	if n := w.Event(t, 14, event.KindClose).Names(); n != 1 {
		t.Errorf("%d names of a close", n)
	}
}

func TestOtherDescriptors(t *testing.T) {
	w := shells(t)
	for _, tt := range []struct {
		name   string
		kind   event.Kind
		params []fieldtest.Param
		want   map[string]string
	}{
		{
			"close", event.KindClose, []fieldtest.Param{fieldtest.Num("fd", 7), fieldtest.File(event.FileInfo{Type: event.FDFile, Flags: event.FileUpperLayer}, "/a/b")},
			map[string]string{"fd.num": "7", "fd.name": "/a/b", "fd.is_upper_layer": "true", "fd.is_lower_layer": "false", "evt.arg.fd": "<f>/a/b", "evt.category": "file"},
		},
		{
			"current directory", event.KindUnlinkat, []fieldtest.Param{fieldtest.Num("dirfd", -100), fieldtest.Text("name", "x"), fieldtest.Text("base", "/srv")},
			map[string]string{"fd.num": "-100", "fd.typechar": "o", "fd.name": "", "fs.path.name": "/srv/x", "evt.abspath": "/srv/x", "evt.args": "res=0 dirfd=-100(AT_FDCWD) name=x(/srv/x) flags=0"},
		},
		{
			"not a descriptor", event.KindClose, []fieldtest.Param{fieldtest.Num("res", -9), fieldtest.Num("fd", 99)},
			map[string]string{"fd.num": "99", "fd.typechar": "o", "fd.name": "-", "fd.type": "-", "evt.res": "EBADF", "evt.category": "unknown"},
		},
		{
			"failed accept", event.KindAccept, []fieldtest.Param{fieldtest.Num("fd", -11)},
			map[string]string{"fd.num": "-1", "fd.typechar": "4", "evt.count.error": "-"},
		},
		{
			"pipe", event.KindRead, []fieldtest.Param{fieldtest.Num("fd", 0), fieldtest.File(event.FileInfo{Type: event.FDPipe}, "")},
			map[string]string{"fd.type": "pipe", "fd.typechar": "p", "fd.name": "", "evt.category": "ipc", "fd.l4proto": "<NA>"},
		},
		{
			"strange type", event.KindRead, []fieldtest.Param{fieldtest.Num("fd", 0), fieldtest.File(event.FileInfo{Type: 200}, "")},
			map[string]string{"fd.type": "<NA>", "fd.typechar": "o", "evt.category": "other"},
		},
		{
			"no descriptor", event.KindMkdir, nil,
			map[string]string{"fd.num": "-", "fd.typechar": "-", "fd.name": "-", "fd.type": "-", "fd.uid": "-", "fd.name_changed": "-"},
		},
		{
			"directory of *at", event.KindNewfstatat, []fieldtest.Param{fieldtest.Num("dirfd", 3), fieldtest.Text("path", ""), fieldtest.Text("base", "/f"), fieldtest.File(event.FileInfo{Type: event.FDFile}, "/f")},
			map[string]string{"fd.name": "/f", "evt.args": "res=0 dirfd=3(<f>/f) path= flags=0", "fd.is_server": "false"},
		},
		{
			"pipe2", event.KindPipe2, []fieldtest.Param{fieldtest.Num("fd1", 3), fieldtest.Num("fd2", 4), fieldtest.File(event.FileInfo{Type: event.FDPipe}, "")},
			map[string]string{"evt.args": "res=0 fd1=3(<p>) fd2=4(<p>) ino=0 flags=0(O_NONE)"},
		},
		{
			"dup", event.KindDup2, []fieldtest.Param{fieldtest.Num("res", 1), fieldtest.Num("oldfd", 5), fieldtest.Num("newfd", 1), fieldtest.File(event.FileInfo{Type: event.FDFile}, "/f")},
			map[string]string{"evt.args": "res=1(<f>/f) oldfd=5(<f>/f) newfd=1(<f>/f)"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) { check(t, w.Event(t, 14, tt.kind, tt.params...), tt.want) })
	}
}

// TestFSPath shows a row of docs/compatibility.md.
func TestFSPath(t *testing.T) {
	w := shells(t)
	base := []fieldtest.Param{fieldtest.Text("base", "/from"), fieldtest.Text("base2", "/to")}
	for _, tt := range []struct {
		name   string
		kind   event.Kind
		params []fieldtest.Param
		want   string // name, source, target, and the raw ones
	}{
		{"mkdir", event.KindMkdir, []fieldtest.Param{fieldtest.Text("path", "a/.."), fieldtest.Text("base", "/b")}, "/b - - a/.. - -"},
		{"failed", event.KindMkdir, []fieldtest.Param{fieldtest.Num("res", -17), fieldtest.Text("path", "/a")}, "- - - - - -"},
		{"rename", event.KindRename, append(base, fieldtest.Text("oldpath", "o"), fieldtest.Text("newpath", "n")), "- /from/o /to/n - o n"},
		{"renameat2", event.KindRenameat2, append(base, fieldtest.Text("oldpath", "o"), fieldtest.Text("newpath", "/n")), "- /from/o /n - o /n"},
		{"link", event.KindLinkat, append(base, fieldtest.Text("oldpath", "o"), fieldtest.Text("newpath", "n")), "- /to/n /from/o - n o"},
		{"symlink", event.KindSymlink, []fieldtest.Param{fieldtest.Text("target", "t"), fieldtest.Text("linkpath", "l"), fieldtest.Text("base", "/b")}, "- /b/l /srv/data/t - l t"},
		{"mount", event.KindMount, []fieldtest.Param{fieldtest.Text("dev", "/dev/sda"), fieldtest.Text("dir", "/mnt/")}, "- /dev/sda /mnt - /dev/sda /mnt/"},
		{"fchmod", event.KindFchmod, []fieldtest.Param{fieldtest.File(event.FileInfo{Type: event.FDFile}, "/f")}, "/f - - /f - -"},
		{"fchmodat2", event.KindFchmodat2, []fieldtest.Param{fieldtest.Num("dirfd", 3), fieldtest.Text("filename", "f"), fieldtest.Text("base", "/d")}, "/d/f - - f - -"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := w.Event(t, 14, tt.kind, tt.params...)
			var got []string
			for _, name := range []string{"name", "source", "target", "nameraw", "sourceraw", "targetraw"} {
				got = append(got, value(t, c, "fs.path."+name))
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("got %q, want %q", s, tt.want)
			}
		})
	}
}

// TestEventTypes shows a row of docs/compatibility.md.
func TestEventTypes(t *testing.T) {
	w := shells(t)
	id, _ := event.SyscallByName("swapon")
	for _, tt := range []struct {
		kind   event.Kind
		params []fieldtest.Param
		want   string // evt.type, syscall.type, evt.res
	}{
		{event.KindSyscall, []fieldtest.Param{fieldtest.Num("ID", int64(id))}, "swapon swapon -"},
		{event.KindFchmodat2, nil, "fchmodat fchmodat SUCCESS"},
		{event.KindExecveat, nil, "execve execve SUCCESS"},
		{event.KindExecveat, []fieldtest.Param{fieldtest.Num("res", -2)}, "execveat execveat ENOENT"},
		{event.KindProcexit, nil, "procexit - -"},
		{event.KindAsyncevent, []fieldtest.Param{fieldtest.Text("name", "container")}, "container - -"},
		{event.KindConnect, []fieldtest.Param{fieldtest.Num("res", -115)}, "connect connect EINPROGRESS"},
		{event.KindClose, []fieldtest.Param{fieldtest.Num("res", -9999)}, "close close 9999"},
		{event.KindClose, []fieldtest.Param{fieldtest.Num("res", -512)}, "close close ERESTARTSYS"},
	} {
		c := w.Event(t, 14, tt.kind, tt.params...)
		got := value(t, c, "evt.type") + " " + value(t, c, "syscall.type") + " " + value(t, c, "evt.res")
		if got != tt.want {
			t.Errorf("%v: %q, want %q", tt.kind, got, tt.want)
		}
	}
}

// TestTimes shows a row of docs/compatibility.md.
func TestTimes(t *testing.T) {
	w := shells(t)
	c := w.Event(t, 14, event.KindClose)
	c.Reset()
	c.Time += 2_000_000_003
	check(t, c, map[string]string{
		"evt.reltime": "2000000003", "evt.reltime.s": "2", "evt.reltime.ns": "3", "evt.deltatime": "2000000003", "evt.deltatime.ns": "3",
		"evt.around[1795359515447000000]": "1", "evt.around[1795359516447936119]": "1000",
	})
	var _ field.Extractor
}
