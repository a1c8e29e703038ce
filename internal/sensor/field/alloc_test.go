package field_test

import (
	"net/netip"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/test/support/fieldtest"
)

// touch calls the extractor's getters and drops the values.
func touch(x field.Extractor, c *field.Context) {
	switch {
	case x.Each != nil:
		x.Each(c, everyText)
	case x.EachInt != nil:
		x.EachInt(c, everyInt)
	case x.EachUint != nil:
		x.EachUint(c, everyUint)
	case x.EachIP != nil:
		x.EachIP(c, everyIP)
	}
	if x.Str != nil {
		x.Str(c)
	}
	if x.Int != nil {
		x.Int(c)
	}
	if x.Uint != nil {
		x.Uint(c)
	}
	if x.Double != nil {
		x.Double(c)
	}
	if x.IP != nil {
		x.IP(c)
	}
}

func everyText(string) bool   { return true }
func everyInt(int64) bool     { return true }
func everyUint(uint64) bool   { return true }
func everyIP(netip.Addr) bool { return true }

// readsProc lists the fields that read /proc and may allocate.
var readsProc = map[string]bool{
	"proc.fdopencount": true, "proc.fdusage": true, "proc.vmsize": true, "proc.vmrss": true, "proc.vmswap": true,
	"thread.vmsize": true, "thread.vmrss": true, "thread.pfmajor": true, "thread.pfminor": true,
	"proc.nthreads": true, "proc.nchilds": true, "proc.stdin.type": true, "proc.stdout.type": true, "proc.stderr.type": true,
	"proc.stdin.name": true, "proc.stdout.name": true, "proc.stderr.name": true, "fd.types": true,
	"fdlist.nums": true, "fdlist.names": true, "fdlist.cips": true, "fdlist.sips": true, "fdlist.cports": true, "fdlist.sports": true,
	// Sorted for display only.
	"container.labels": true, "k8s.pod.labels": true, "k8smeta.pod.labels": true,
}

func TestGettersDoNotAllocate(t *testing.T) {
	w := shells(t)
	sock := event.FileInfo{Type: event.FDIPv4, L4Proto: tcp, SPort: 40000, DPort: 443}
	contexts := map[string]func() *field.Context{
		"open": func() *field.Context {
			return w.Event(t, 14, event.KindOpenat, openat(fieldtest.Text("name", "../x//y"), fieldtest.Text("base", "/a/b"), fieldtest.Num("dirfd", 4))...)
		},
		"connect": func() *field.Context {
			return w.Event(t, 14, event.KindConnect, fieldtest.Num("fd", 4), fieldtest.File(sock, v4))
		},
		"rename": func() *field.Context {
			return w.Event(t, 14, event.KindRename, fieldtest.Text("oldpath", "a"), fieldtest.Text("newpath", "b"), fieldtest.Text("base", "/x"), fieldtest.Text("base2", "/y"))
		},
	}
	for name, event := range contexts {
		c := event()
		for _, f := range field.Syscall.All() {
			if readsProc[f.Name] {
				continue
			}
			for _, text := range sampleTexts(f) {
				_, x, err := field.Lookup(text)
				if err != nil {
					t.Fatal(err)
				}
				if n := testing.AllocsPerRun(20, func() { c.Reset(); touch(x, c) }); n != 0 {
					t.Errorf("%s of %s: %v allocations", text, name, n)
				}
			}
		}
	}
}

func TestTransformersDoNotAllocate(t *testing.T) {
	c := tarWorld(t).Event(t, 5, event.KindClose)
	for _, text := range []string{
		"tolower(proc.name)", "b64(proc.env[B64])", "basename(proc.exepath)", "len(proc.name)", "len(getopt(proc.args, \"f:\"))",
		"concat(proc.name, toupper(proc.exepath), \"x\")", "join(\",\", proc.args)", "join(\",\", (proc.name, proc.exe))", "getopt(proc.args, \"f:\")[f]",
		"tolower(getopt(proc.args, \"f:\"))",
	} {
		o, err := field.Syscall.ParseOperand(text)
		if err != nil {
			t.Fatal(err)
		}
		touch(o.Extractor, c)
		if n := testing.AllocsPerRun(20, func() { c.Reset(); touch(o.Extractor, c) }); n != 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
}

func BenchmarkFields(b *testing.B) {
	w := shells(b)
	sock := event.FileInfo{Type: event.FDIPv4, L4Proto: tcp, SPort: 40000, DPort: 443}
	for _, bench := range []struct {
		text string
		make func() *field.Context
	}{
		{"proc.name", func() *field.Context { return w.Event(b, 14, event.KindClose) }},
		{"proc.aname[2]", func() *field.Context { return w.Event(b, 14, event.KindClose) }},
		{"evt.type", func() *field.Context { return w.Event(b, 14, event.KindOpenat, openat()...) }},
		{"evt.is_open_read", func() *field.Context { return w.Event(b, 14, event.KindOpenat, openat()...) }},
		{"fd.name", func() *field.Context { return w.Event(b, 14, event.KindOpenat, openat()...) }},
		{"fd.directory", func() *field.Context {
			return w.Event(b, 14, event.KindOpenat, openat(fieldtest.Text("name", "../x//y"), fieldtest.Text("base", "/a/b"))...)
		}},
		{"fd.sip", func() *field.Context {
			return w.Event(b, 14, event.KindConnect, fieldtest.Num("fd", 4), fieldtest.File(sock, v4))
		}},
		{"evt.arg.flags", func() *field.Context { return w.Event(b, 14, event.KindOpenat, openat()...) }},
	} {
		_, x, err := field.Lookup(bench.text)
		if err != nil {
			b.Fatal(err)
		}
		c := bench.make()
		b.Run(bench.text, func(b *testing.B) {
			for b.Loop() {
				c.Reset()
				touch(x, c)
			}
		})
	}
}
