package output

import (
	"runtime"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/test/support/fieldtest"
)

// The memory of full queues is close to the bound, for the alerts of a rule
// like the default ones, as text and as JSON.
func TestQueueMemory(t *testing.T) {
	const bound = 8 << 20
	for name, opts := range map[string]alert.Options{
		"text": {},
		"JSON": {JSON: true, JSONOutput: true, JSONFields: true, JSONTags: true, JSONMessage: true},
	} {
		t.Run(name, func(t *testing.T) {
			makeAlert := formatterOf(t, opts)
			q := newQueue(1<<16, bound, 1)
			before := heap()
			for q.overflow == 0 {
				q.push(makeAlert())
			}
			checkHeap(t, "queue", heap()-before, bound, q.held)
			runtime.KeepAlive(q)
			b := newBacklog(1<<16, bound)
			before = heap()
			for b.lost < 10 {
				b.push(makeAlert())
			}
			checkHeap(t, "backlog", heap()-before, bound, int(b.head-b.tail))
			runtime.KeepAlive(b)
		})
	}
}

func checkHeap(t *testing.T, what string, used, bound int64, held int) {
	t.Helper()
	t.Logf("%s: %d alerts hold %d KiB, %d bytes each; bound %d KiB", what, held, used>>10, used/int64(held), bound>>10)
	if used > bound*5/4 || used < bound*3/4 {
		t.Errorf("%s: %d alerts hold %d bytes, want about %d", what, held, used, bound)
	}
}

// heap is the memory in use.
func heap() int64 {
	runtime.GC()
	runtime.GC() // frees memory kept by finalizers and pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// formatterOf returns a function that makes alerts of one rule.
func formatterOf(t *testing.T, opts alert.Options) func() *alert.Alert {
	w := fieldtest.New(t,
		fieldtest.Proc{PID: 13, PPID: 1, Comm: "python3"},
		fieldtest.Proc{PID: 14, PPID: 13, Comm: "cat", Argv: []string{"cat", "/etc/shadow"}, ExePath: "/usr/bin/cat"},
	)
	c := w.Event(t, 14, event.KindOpenat,
		fieldtest.Num("fd", 3), fieldtest.Num("dirfd", -100), fieldtest.Text("name", "/etc/shadow"), fieldtest.Num("flags", 1),
		fieldtest.File(event.FileInfo{Type: event.FDFile}, ""))
	opts.Append = []alert.Append{{Suggested: true}}
	rule := alert.Rule{Name: "Read credentials", Priority: alert.Warning, Source: "syscall", Tags: []string{"host", "container"}}
	f, err := alert.New(rule, "Credentials read | file=%fd.name gparent=%proc.aname[2] evt_type=%evt.type user=%user.name user_uid=%user.uid "+
		"process=%proc.name proc_exepath=%proc.exepath parent=%proc.pname command=%proc.cmdline terminal=%proc.tty", opts)
	if err != nil {
		t.Fatal(err)
	}
	return func() *alert.Alert { return f.Format(c) }
}
