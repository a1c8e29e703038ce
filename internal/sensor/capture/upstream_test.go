package capture

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// upstream finds a capture of the Falco project; the test skips without.
func upstream(t testing.TB, name string) string {
	t.Helper()
	dirs := []string{os.Getenv("PEREGRINE_SHARED")}
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for d := wd; d != "/"; d = filepath.Dir(d) {
		dirs = append(dirs, filepath.Join(d, "shared"))
	}
	for _, d := range dirs {
		p := filepath.Join(d, "testdata", "scap", name)
		if _, err := os.Stat(p); d != "" && err == nil {
			return p
		}
	}
	t.Skipf("%s is not here", name)
	return ""
}

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

func TestDump(t *testing.T) {
	for _, name := range []string{"cat_write.scap", "connect_localhost.scap", "curl_google.scap", "single_ipv6_conn.scap"} {
		r, err := Open(upstream(t, name))
		if err != nil {
			t.Fatal(err)
		}
		n := map[string]int{}
		readAll(t, r, func(v *event.View) {
			n[v.Info().Name]++
			if k := v.Kind(); k != event.KindTask && k != event.KindUseradded && k != event.KindGroupadded && k != event.KindMmap && k != event.KindSyscall {
				t.Log(dump(v))
			}
		})
		t.Logf("%s: %+v %v skipped %d\n%s", name, r.Machine(), r.Interfaces(), r.Skipped(), counts(n))
	}
}
