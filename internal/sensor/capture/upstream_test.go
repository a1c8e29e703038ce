package capture

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/test/support/corpus"
)

// readAll passes every event of a capture to f.
func readAll(t testing.TB, r *Reader, f func(*event.View)) {
	t.Helper()
	for {
		raw, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		var v event.View
		if err := v.Reset(raw); err != nil {
			t.Fatal(err)
		}
		f(&v)
	}
}

// Known contents of the captures of Falco's own tests. TestCorpus is the same
// over captures of this repository.
func TestUpstream(t *testing.T) {
	for _, c := range []struct {
		name, host string
		kinds      map[string]int
		lines      []string
	}{
		{
			"cat_write.scap", "ubuntu",
			map[string]int{"execve": 1, "open": 4, "read": 2, "close": 6, "procexit": 1, "task": 40},
			[]string{
				`execve tid=20072 pid=20072 ppid=11310`,
				`exe="cat" args="/dev/null\x00"`,
				`open tid=20072 pid=20072 ppid=11310 uid=-1 gid=-1 res=3 fd=3 name="/dev/null" flags=1`,
				`close tid=20072 pid=20072 ppid=11310 uid=-1 gid=-1 res=0 fd=3 | file={1 flags=0 ino=0 dev=0 "/dev/null"}`,
			},
		},
		{
			"connect_localhost.scap", "ubuntu",
			map[string]int{"connect": 1, "socket": 3, "task": 59},
			[]string{`res=-115 tuple={127.0.0.1:47192  false}->{127.0.0.1:80  false} true fd=4 addr=- | file={3 flags=20 proto=6 127.0.0.1:47192 127.0.0.1:80}`},
		},
		{
			"curl_google.scap", "ip-10-0-0-79",
			map[string]int{"execve": 1, "clone": 2, "procfork": 0, "connect": 4, "sendto": 2, "recvfrom": 4, "open": 48, "procexit": 2},
			[]string{
				`args="-6\x00http://www.google.com\x00"`,
				`clone tid=17498 pid=17497`, // a thread
				`{4 flags=20 proto=17 2600:1f18:262c:6542:9aa6:df7a:9a47:d29e:40251 2001:4860:4860::8888:53}`,
				`{4 flags=20 proto=6 2600:1f18:262c:6542:9aa6:df7a:9a47:d29e:37140 2607:f8b0:4004:802::2004:80}`,
				`procexit tid=17498 pid=17497 ppid=3200 uid=1000 gid=1000 flags=8`,
			},
		},
		{
			"single_ipv6_conn.scap", "ubuntu",
			map[string]int{"accept": 1, "bind": 2, "connect": 3, "listen": 1, "read": 2, "write": 1},
			[]string{
				`accept tid=25886 pid=25886`,
				`{4 flags=12 proto=6 2001:db8::3:1234 2001:db8::4:54405}`,
				`write tid=25888 pid=25888 ppid=0 uid=-1 gid=-1 res=15 res=15 data="this is a test\n" fd=3`,
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Open(corpus.Need(t, "scap/"+c.name))
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			kinds := map[string]int{}
			var all strings.Builder
			readAll(t, r, func(v *event.View) {
				kinds[v.Info().Name]++
				all.WriteString(dump(v) + "\n")
			})
			for k, n := range c.kinds {
				if kinds[k] != n {
					t.Errorf("%d events %s, want %d", kinds[k], k, n)
				}
			}
			for _, l := range c.lines {
				if !strings.Contains(all.String(), l) {
					t.Errorf("no event with %s", l)
				}
			}
			if r.Machine().Hostname != c.host {
				t.Errorf("machine %+v", r.Machine())
			}
			if t.Failed() {
				t.Log(counts(kinds))
			}
		})
	}
}
