package capture

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// Update says that golden files are written anew; it is for package capture_test too.
var Update = flag.Bool("update", false, "write golden files anew")

const second = 1_000_000_000

var (
	base = uint64(1_700_000_000 * second)

	client = netip.MustParseAddrPort("10.0.0.5:40000")
	server = netip.MustParseAddrPort("192.0.2.7:443")
	cli6   = netip.MustParseAddrPort("[2001:db8::5]:40000")
	srv6   = netip.MustParseAddrPort("[2001:db8::7]:53")
	mapped = netip.MustParseAddrPort("[::ffff:192.0.2.7]:80")
)

// script writes a capture; every event is a microsecond after the one before.
type script struct {
	*Writer
	now uint64
}

// ev writes an event with the newest code of its kind.
func (s *script) ev(tid int64, k event.Kind, values ...Value) {
	s.now += 1000
	s.Event(s.now, tid, 1, k, values...)
}

// old writes an event of a certain code as files had it before version 2.
func (s *script) old(tid int64, n uint16, values ...Value) {
	s.now += 1000
	c := &codes[n]
	params := make([]event.Param, len(c.slots))
	for i, slot := range c.slots {
		params[i] = event.Param{Type: event.Uint32}
		if slot >= 0 {
			params[i] = c.kind.Info().Params[slot]
		}
	}
	s.event(blockEvent, s.now, tid, 0, n, params, values)
}

func newScript(w io.Writer) *script {
	s := &script{NewWriter(w, Machine{CPUs: 2, MemoryBytes: 1 << 30, MaxPID: 32768, Hostname: "box", BootTime: base - 3600*second}), base}
	s.Interfaces(
		Interface{"lo", netip.MustParsePrefix("127.0.0.1/8")},
		Interface{"eth0", netip.MustParsePrefix("10.0.0.5/24")},
		Interface{"eth0", netip.MustParsePrefix("2001:db8::5/64")},
	)
	s.Users(map[uint32]string{1000: "ann"}, map[uint32]string{100: "staff"})
	s.Processes(
		Process{TID: 1, PID: 1, Permitted: 7, Effective: 7, SID: 1, VPGID: 1, PGID: 1, VTID: 1, VPID: 1, Comm: "init", Exe: "/sbin/init", ExePath: "/usr/lib/init", CWD: "/", Root: "/", LoginUID: noID},
		Process{TID: 50, PID: 50, PTID: 1, SID: 50, VPGID: 50, PGID: 50, VTID: 50, VPID: 50, Comm: "bash", Exe: "-bash", ExePath: "/usr/bin/bash",
			CWD: "/home/ann/", Root: "/", Args: "-i\x00", Env: "HOME=/home/ann\x00", Cgroups: "memory=/user\x00=/user\x00",
			UID: 1000, GID: 100, LoginUID: 1000, TTY: 34817, FDLimit: 1024, Permitted: 5, Effective: 4, ExeIno: 77, ExeCTime: 11, ExeMTime: 12, PIDNSStart: 13, Writable: true},
		Process{TID: 51, PID: 50, PTID: 1, VTID: 51, VPID: 50, Comm: "bash"},
	)
	s.FDs(50,
		FD{Num: 0, Ino: 9, Path: "/dev/pts/1"}, FD{Num: 5, Path: "/srv/data", Directory: true},
		FD{Num: 6, Local: client, Remote: server}, FD{Num: 5000, Path: "/high"},
	)
	return s
}

// scripts are captures of our own making.
var scripts = map[string]func(*script){
	"files": func(s *script) {
		s.ev(50, event.KindOpenat, Num(3), Num(-100), Text("notes.txt"), Num(1), Num(0), Num(8), Num(123))
		s.ev(50, event.KindRead, Num(5), Text("hello"), Num(3), Num(4096))
		s.ev(50, event.KindOpenat, Num(4), Num(5), Text("../x//./y"), Num(1<<12|3), Num(0o644), Num(8), Num(124))
		s.ev(50, event.KindOpenat, Num(-2), Num(-100), Text("/nosuch"), Num(1), Num(0), Num(0), Num(0))
		s.ev(50, event.KindOpenat, Num(-9), Num(77), Text("rel"), Num(1), Num(0), Num(0), Num(0))
		s.ev(50, event.KindOpen, Num(7), Text("/tmp"), Num(1<<10|1), Num(0), Num(8), Num(2))
		s.ev(50, event.KindFchdir, Num(0), Num(7))
		s.ev(50, event.KindCreat, Num(8), Text("new"), Num(0o600), Num(8), Num(5), Num(1))
		s.ev(50, event.KindDup2, Num(9), Num(8), Num(9))
		s.ev(50, event.KindWrite, Num(2), Text("hi"), Num(9), Num(2))
		s.ev(50, event.KindFcntl, Num(10), Num(9), Num(fcntlDupCloexec), Num(10))
		s.ev(50, event.KindClose, Num(0), Num(9))
		s.ev(50, event.KindClose, Num(-9), Num(9))
		s.ev(50, event.KindClose, Num(-9), Num(3)) // not closed
		s.ev(50, event.KindFstat, Num(0), Num(3))
		s.ev(50, event.KindClose, Num(-4), Num(3)) // interrupted, but closed
		s.ev(50, event.KindFstat, Num(-9), Num(3))
		s.ev(50, event.KindFstat, Num(0), Num(5000))
		s.ev(50, event.KindUnlinkat, Num(0), Num(5), Text("old"), Num(0))
		s.ev(50, event.KindRenameat, Num(0), Num(-100), Text("a"), Num(5), Text("b"))
		s.ev(50, event.KindSymlink, Num(0), Text("target"), Text("link"))
		s.ev(50, event.KindMkdir, Num(0), Text("/abs"), Num(0o755))
		s.ev(50, event.KindChdir, Num(0), Text("../var/./log/"))
		s.ev(50, event.KindChdir, Num(-2), Text("/nowhere"))
		s.ev(50, event.KindChroot, Num(0), Text("/jail"))
		s.ev(50, event.KindMemfdCreate, Num(11), Text("mem"), Num(1))
		s.ev(50, event.KindPipe2, Num(0), Num(12), Num(13), Num(99), Num(1<<12))
		s.ev(50, event.KindEventfd2, Num(14), Num(0), Num(3))
		s.ev(50, event.KindPoll, Num(1), Text("\x01\x00\x03\x00\x00\x00\x00\x00\x00\x00\x01\x00"), Num(-1))
		s.ev(50, event.KindSyscall, Num(99), Num(24))
		s.ev(50, event.KindSyscall, Num(4000), Num(439))
	},
	"processes": func(s *script) {
		clone := func(tid, res, ptid, flags, vtid, vpid int64) {
			s.ev(tid, event.KindClone, Num(res), Text("-bash"), Text("-i\x00"), Num(tid), Num(tid), Num(ptid), Text("/home/ann"), Num(1024),
				Num(0), Num(1), Num(2), Num(3), Num(4), Text("bash"), Text("memory=/user\x00=/user\x00"), Num(flags), Num(1000), Num(100), Num(vtid), Num(vpid), Num(13))
		}
		exec := func(tid, res, ptid int64, path, args string) {
			s.ev(tid, event.KindExecve, Num(res), Text(path), Text(args), Num(tid), Num(tid), Num(ptid), Text("/home/ann"), Num(1024), Num(0), Num(1), Num(2), Num(3), Num(4),
				Text(path[strings.LastIndex(path, "/")+1:]), Text("memory=/user\x00=/user\x00"), Text("A=1\x00"), Num(34817), Num(60), Num(1000), Num(1),
				Num(0), Num(5), Num(4), Num(77), Num(11), Num(12), Num(1000), Text(path), Num(60), Num(100), Text(path))
		}
		clone(50, 60, 1, 0, 50, 50) // in the parent first
		clone(60, 0, 50, 0, 60, 60)
		s.ev(60, event.KindOpenat, Num(3), Num(-100), Text("keep"), Num(1), Num(0), Num(8), Num(1))
		s.ev(60, event.KindOpenat, Num(4), Num(-100), Text("lose"), Num(1<<12|1), Num(0), Num(8), Num(2))
		exec(60, -13, 50, "/bin/forbidden", "")
		exec(60, 0, 50, "/usr/bin/tool", "-v\x00x\x00")
		s.ev(60, event.KindFstat, Num(0), Num(3))
		s.ev(60, event.KindFstat, Num(-9), Num(4))
		clone(60, 61, 50, clThread, 60, 60) // a thread
		s.ev(61, event.KindFstat, Num(0), Num(3))
		s.ev(61, event.KindProcexit, Num(0), Num(0), Num(0), Num(0), Num(0))
		clone(70, 0, 60, 0, 70, 70) // in the child first
		clone(60, 70, 50, 0, 60, 60)
		clone(80, 0, 60, 0, 2, 1) // into another pid namespace: only the child tells
		s.ev(80, event.KindFstat, Num(0), Num(3))
		s.ev(60, event.KindProcexit, Num(256), Num(1), Num(0), Num(0), Num(50))
		s.ev(70, event.KindFstat, Num(0), Num(0)) // its parent is another now
		s.now += 10 * second
		clone(50, 60, 1, 0, 50, 50) // a thread id used again
		s.ev(60, event.KindExecveat, Num(0), Text("/bin/x"), Text(""), Num(60), Num(60), Num(50), Text("/tmp"))
		clone(70, 0, 50, 0, 70, 70)                // and one where the child tells first
		s.ev(999, event.KindClose, Num(0), Num(3)) // never heard of
	},
	"network": func(s *script) {
		s.ev(50, event.KindFstat, Num(0), Num(6))
		s.ev(50, event.KindSocket, Num(10), Num(afInet), Num(sockStream), Num(0))
		s.ev(50, event.KindConnect, Num(-115), Tuple(client, server), Num(10), Addr(server))
		s.ev(50, event.KindSendto, Num(3), Text("GET"), Num(10), Num(3))
		s.ev(50, event.KindSocket, Num(11), Num(afInet6), Num(sockDgram|0o2000000), Num(0))
		s.ev(50, event.KindSendto, Num(3), Text("dns"), Num(11), Num(3), Tuple(cli6, srv6))
		s.ev(50, event.KindRecvfrom, Num(3), Text("ans"), Tuple(srv6, cli6), Num(11), Num(512))
		s.ev(50, event.KindSocket, Num(12), Num(afInet), Num(sockStream), Num(0))
		s.ev(50, event.KindBind, Num(0), Addr(netip.MustParseAddrPort("0.0.0.0:8080")), Num(12))
		s.ev(50, event.KindListen, Num(0), Num(12), Num(5))
		s.ev(50, event.KindAccept4, Num(13), Tuple(server, client), Num(0), Num(0), Num(5), Num(0))
		s.ev(50, event.KindAccept, Num(-11), None, Num(0), Num(0), Num(5))
		s.ev(50, event.KindSocket, Num(14), Num(afInet6), Num(sockStream), Num(0))
		s.ev(50, event.KindConnect, Num(0), Tuple(netip.MustParseAddrPort("[::ffff:10.0.0.5]:1234"), mapped), Num(14), Addr(mapped))
		s.ev(50, event.KindSocket, Num(15), Num(afUnix), Num(sockStream), Num(0))
		s.ev(50, event.KindConnect, Num(0), Unix("/run/sock"), Num(15), Text("\x01/run/sock\x00"))
		s.ev(50, event.KindSocket, Num(16), Num(afUnix), Num(sockStream), Num(0))
		s.ev(50, event.KindConnect, Num(-111), Unix("\x00abstract"), Num(16), Text("\x01\x00abstract\x00"))
		s.ev(50, event.KindSocketpair, Num(0), Num(17), Num(18), Num(1), Num(2), Num(afUnix), Num(1), Num(0))
		s.ev(50, event.KindGetsockopt, Num(0), Num(10), Num(1), Num(4), Text("\x01\x00\x00\x00\x00\x00\x00\x00\x00"), Num(4))
		s.ev(50, event.KindSocket, Num(20), Num(afInet), Num(sockDgram), Num(0))
		s.ev(50, event.KindConnect, Num(0), Tuple(client, server), Num(20), Addr(server))
		s.ev(50, event.KindSendto, Num(1), Text("x"), Num(20), Num(1), Tuple(server, client)) // does not change a connected one
		s.ev(50, event.KindSocket, Num(21), Num(afInet6), Num(sockDgram), Num(0))
		s.ev(50, event.KindSendto, Num(1), Text("x"), Num(21), Num(1), Tuple(netip.MustParseAddrPort("[::]:5"), mapped))
		s.ev(50, event.KindShutdown, Num(0), Num(10), Num(2))
		s.ev(50, event.KindSocket, Num(19), Num(afNetlink), Num(3), Num(0))
	},
	// An event for each rule of the corpus, and a harmless look-alike.
	"alerts": func(s *script) {
		open := func(tid, fd int64, path string, flags int64) {
			s.ev(tid, event.KindOpenat, Num(fd), Num(-100), Text(path), Num(flags), Num(0o600), Num(8), Num(9))
		}
		exec := func(tid, ptid int64, path, args string) {
			s.ev(tid, event.KindExecve, Num(0), Text(path), Text(args), Num(tid), Num(tid), Num(ptid), Text("/"), Num(1024), Num(0), Num(0), Num(0), Num(0), Num(0),
				Text(path[strings.LastIndex(path, "/")+1:]), Text("memory=/user\x00"), Text("A=1\x00"), Num(34817), Num(tid), Num(1000), Num(0),
				Num(0), Num(5), Num(4), Num(7), Num(1), Num(2), Num(0), Text(path), Num(tid), Num(0), Text(path))
		}
		const read, write, create = 1, 2, 4
		exec(60, 50, "/usr/bin/cat", "/etc/shadow\x00")
		for _, path := range []string{"/etc/shadow", "/root/.ssh/id_rsa", "/srv/keys/a", "/home/ann/notes.txt", "/etc/hostname"} {
			open(60, 3, path, read)
			open(60, -13, path, read)
		}
		for _, path := range []string{"/etc/hosts", "/etc/.hosts.swp", "/usr/lib/x/conf.d/y", "/tmp/x"} {
			open(60, 4, path, write|create)
		}
		exec(60, 50, "/usr/bin/vault", "read\x00")
		open(60, 3, "/etc/shadow", read)
		exec(60, 50, "/usr/bin/systemd", "")
		open(60, 3, "/etc/systemd/system/x", write)
		open(60, 3, "/etc/passwd", write)
		exec(60, 50, "/usr/bin/sh", "-c\x00id\x00")
		exec(61, 60, "/usr/bin/curl", "http://192.0.2.7/\x00")
		exec(61, 60, "/usr/bin/wget", "--quiet\x00")
		s.ev(61, event.KindSymlink, Num(0), Text("/etc/shadow"), Text("/tmp/l"))
		s.ev(61, event.KindChmod, Num(0), Text("/tmp/x"), Num(0o4755))
		s.ev(61, event.KindUnlink, Num(-2), Text("gone"))
	},
	"credentials": func(s *script) {
		s.ev(1, event.KindSetresuid, Num(0), Num(-1), Num(1000), Num(-1))
		s.ev(1, event.KindSetreuid, Num(0), Num(-1), Num(0))
		s.ev(1, event.KindSetuid, Num(0), Num(1000))
		s.ev(1, event.KindSetuid, Num(-1), Num(0))
		s.ev(1, event.KindSetgid, Num(0), Num(5))
		s.ev(50, event.KindCapset, Num(0), Num(1), Num(2), Num(3))
		s.ev(50, event.KindUnshare, Num(0), Num(cloneNewUser))
		s.ev(50, event.KindSetsid, Num(50))
		s.ev(1, event.KindSetpgid, Num(0), Num(50), Num(1))
		s.ev(50, event.KindSetpgid, Num(0), Num(0), Num(0))
	},
	// Codes and layouts of many years ago: entries and exits, in version 1 blocks.
	"old": func(s *script) {
		s.old(50, 102, Num(-100), Text("rc"), Num(1), Num(0)) // openat
		s.old(50, 103, Num(3))
		s.old(50, 6, Num(3), Num(100)) // read
		s.old(50, 7, Num(2), Text("ab"))
		s.old(50, 4, Num(3)) // close
		s.old(50, 5, Num(0))
		s.old(50, 106, Num(5), Text("a"), Num(-100), Text("b")) // linkat
		s.old(50, 107, Num(-1))
		s.old(50, 7, Num(-4), Text("")) // its entry was lost
		list := func(events byte) Value {
			return Text("\x01\x00\x03\x00\x00\x00\x00\x00\x00\x00" + string([]byte{events, 0}))
		}
		s.old(50, 80, list(1), Num(5)) // poll: asked for
		s.old(50, 81, Num(1), list(4)) // and found
		s.old(50, 14)                  // clone
		s.old(50, 15, Num(60), Text("-bash"), Text("-i\x00"), Num(50), Num(50), Num(1), Text("/home/ann"), Num(1024), Num(0), Num(1000), Num(100))
		s.old(60, 12) // execve
		s.old(60, 13, Num(0), Text("/bin/ls"), Text("-l\x00"), Num(60), Num(60), Num(50), Text("/home/ann"), Num(1024))
		s.old(60, 288, Text("./tool"))
		s.old(60, 289, Num(0), Text("tool"), Text(""), Num(60), Num(60), Num(50), Text("/home/ann"), Num(1024), Num(0), Num(0), Num(0), Num(0), Num(0), Text("tool"), Text(""), Text("A=1\x00"), Num(0))
		s.old(60, 72) // stat64
		s.old(60, 73, Num(0), Text("/etc"))
		s.old(60, 124, Num(0)) // dup
		s.old(60, 125, Num(7))
		s.old(60, 22, Num(6), Addr(server)) // connect
		s.old(60, 23, Num(0), Tuple(client, server))
		s.old(60, 60) // pipe
		s.old(60, 61, Num(0), Num(8), Num(9), Num(4))
		s.old(60, 326, Num(-100), Text("x"), Num(1), Num(0), Num(2)) // openat2
		s.old(60, 16)                                                // procexit, the oldest
		s.old(50, 146, Num(7))                                       // switch
	},
}

func capture(t testing.TB, f func(*script)) []byte {
	t.Helper()
	var b bytes.Buffer
	s := newScript(&b)
	f(s)
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// interfaces are those that a Writer has written into a file.
func interfaces(file []byte) (found []Interface) {
	b, err := newBlocks(bytes.NewReader(file))
	for err == nil {
		var typ uint32
		var body []byte
		typ, body, err = b.next()
		for c := (cursor{b: body, bytes: b.bytes}); typ == blockInterface2 && len(c.b) >= 4; {
			e := c.sub(false)
			kind, length, size := e.u16(), e.u16(), 4
			if kind == if6 {
				size = 16
			}
			addr, ok := netip.AddrFromSlice(e.take(size))
			ones, _ := net.IPMask(e.take(size)).Size()
			e.take(size + 8) // broadcast, speed
			if name := e.take(int(length)); ok && !e.short {
				found = append(found, Interface{string(name), netip.PrefixFrom(addr, ones)})
			}
		}
	}
	return found
}

// text reads a capture into one line for each event.
func text(t testing.TB, file []byte) (string, error) {
	t.Helper()
	r, err := NewReader(bytes.NewReader(file))
	if err != nil {
		return "", err
	}
	var out strings.Builder
	fmt.Fprintf(&out, "machine %+v\n", r.Machine())
	for _, i := range interfaces(file) {
		fmt.Fprintf(&out, "interface %s %s\n", i.Name, i.Prefix)
	}
	for {
		raw, err := r.Next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return out.String(), err
		}
		var v event.View
		if err := v.Reset(raw); err != nil {
			t.Fatal(err)
		}
		out.WriteString(dump(&v) + "\n")
	}
}

// The captures of the corpus were written by these scripts once. They stay as
// they are when the writer or the event codes move on, and must read the same.
func TestCorpus(t *testing.T) {
	for name, f := range scripts {
		path := filepath.Join("..", "..", "..", "test", "support", "corpus", "testdata", "captures", name+".scap")
		if *Update {
			if err := os.WriteFile(path, capture(t, f), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := text(t, file)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join("testdata", name+".golden"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
			t.Errorf("%s (-want +got)\n%s", path, diff)
		}
	}
}

func TestGolden(t *testing.T) {
	for name, f := range scripts {
		t.Run(name, func(t *testing.T) {
			got, err := text(t, capture(t, f))
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", name+".golden")
			if *Update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
