package field_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/test/support/fieldtest"
)

// Numbers of threads have the name of their process, and those that a call has
// been given in a pid namespace mean the processes there. It shows a row of
// docs/compatibility.md.
func TestPIDNames(t *testing.T) {
	w := fieldtest.New(t,
		fieldtest.Proc{PID: 3, Comm: "host"},
		fieldtest.Proc{PID: 13, Comm: "python3"},
		fieldtest.Proc{PID: 20, PPID: 13, VPID: 2, PIDNS: 7, Comm: "sh"},
		fieldtest.Proc{PID: 21, PPID: 20, VPID: 3, PIDNS: 7, Comm: "sleep"},
	)
	w.Context.Static.Proc = t.TempDir()
	status := filepath.Join(w.Context.Static.Proc, "99", "status")
	if err := os.MkdirAll(filepath.Dir(status), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(status, []byte("Name:\tworker\nTgid:\t13\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		pid    int
		kind   event.Kind
		number int64
		name   string
		want   string
	}{
		{3, event.KindTgkill, 99, "tid", "python3"},
		{3, event.KindTkill, 98, "tid", "98"},
		{3, event.KindKill, -1, "pid", "-1"},
		{3, event.KindKill, 3, "pid", "host"},
		{20, event.KindKill, 3, "pid", "sleep"},
		{20, event.KindKill, 2, "pid", "sh"},
		{20, event.KindKill, 13, "pid", "13"},
		{20, event.KindKill, 99, "pid", "99"},
		{20, event.KindClone, 20, "tid", "sh"},
		{20, event.KindClone, 2, "vtid", "sh"},
		{20, event.KindClone, 98, "ptid", "python3"},
		{20, event.KindClone, 3, "res", "sleep"},
	} {
		c := w.Event(t, tt.pid, tt.kind, fieldtest.Num(tt.name, tt.number))
		check(t, c, map[string]string{"evt.arg." + tt.name: tt.want})
	}
}
