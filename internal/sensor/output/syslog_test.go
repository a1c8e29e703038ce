package output

import (
	"bufio"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func openSyslogAt(t *testing.T, path string) (*Set, *logs) {
	t.Helper()
	c := quiet()
	c.Syslog = config.SyslogOutput{Enabled: true}
	l := &logs{}
	s, err := Open(c, Options{Log: l.logger(), SyslogPaths: []string{"/nonexistent", path}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(deadline(t, 1e9)) })
	return s, l
}

func TestSyslogDatagrams(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	daemon, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer daemon.Close()
	s, _ := openSyslogAt(t, path)
	want := map[alert.Priority]string{alert.Emergency: "8", alert.Warning: "12", alert.Debug: "15"}
	buf := make([]byte, 4096)
	for priority, number := range want {
		a := numbered(7)
		a.Priority = priority
		s.Send(a)
		n, err := daemon.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		pattern := `^<` + number + `>\w{3} [ \d]\d \d\d:\d\d:\d\d peregrine\[\d+\]: Warning alert 7$`
		if !regexp.MustCompile(pattern).Match(buf[:n]) {
			t.Errorf("%q does not match %s", buf[:n], pattern)
		}
	}
}

func TestSyslogStream(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	daemon, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer daemon.Close()
	s, _ := openSyslogAt(t, path)
	sendNumbered(s, 0, 2)
	conn, err := daemon.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for _, want := range numberedLines(0, 2) {
		if got, err := in.ReadString(0); err != nil || !strings.HasSuffix(got, want+"\x00") {
			t.Errorf("%q %v, want ...%q", got, err, want)
		}
	}
}

// Without a daemon's socket, as in a container, alerts go nowhere and hold
// nothing up.
//
// It shows a row of docs/compatibility.md.
func TestSyslogAbsent(t *testing.T) {
	s, l := openSyslogAt(t, filepath.Join(t.TempDir(), "log"))
	sendNumbered(s, 0, 1000)
	needs.Eventually(t, "all refused", func() bool { return statsOf(t, s, "syslog").Refused == 1000 })
	if err := s.Close(deadline(t, 1e9)); err != nil {
		t.Errorf("close: %v", err)
	}
	if got := l.String(); strings.Count(got, "no syslog daemon here") != 1 || strings.Contains(got, "ERROR") {
		t.Errorf("log:\n%s", got)
	}
}

// A daemon that is restarted loses nothing: its socket stays.
func TestSyslogDaemonRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	listen := func() *net.UnixConn { // in the place of the old socket, at once
		daemon, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path + ".new", Net: "unixgram"})
		if err == nil {
			err = os.Rename(path+".new", path)
		}
		if err != nil {
			t.Fatal(err)
		}
		return daemon
	}
	listen().Close() // a socket without a reader
	s, _ := openSyslogAt(t, path)
	for round := range 2 {
		sendNumbered(s, round, round+1)
		needs.Eventually(t, "an error", func() bool { return statsOf(t, s, "syslog").Errors > uint64(round) })
		daemon := listen()
		buf := make([]byte, 4096)
		if n, err := daemon.Read(buf); err != nil || !strings.HasSuffix(string(buf[:n]), numberedLines(round, round+1)[0]) {
			t.Errorf("%q %v", buf[:n], err)
		}
		daemon.Close()
	}
}

func TestSyslogTooLarge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	daemon, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer daemon.Close()
	s, _ := openSyslogAt(t, path)
	huge := numbered(0)
	huge.Line = make([]byte, 4<<20)
	s.Send(huge)
	s.Send(numbered(1))
	buf := make([]byte, 4096)
	if n, err := daemon.Read(buf); err != nil || !strings.HasSuffix(string(buf[:n]), "alert 1") {
		t.Errorf("%q %v", buf[:n], err)
	}
	needs.Eventually(t, "one refused, one sent", func() bool {
		c := statsOf(t, s, "syslog")
		return c.Refused == 1 && c.Sent == 1
	})
}
