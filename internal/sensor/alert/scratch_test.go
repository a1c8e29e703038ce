package alert_test

import (
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
)

// Formatters that share a Scratch make the alerts that each would make alone,
// also where their values are made in shared memory: lists, and fields' texts.
func TestShared(t *testing.T) {
	outputs := []string{
		output,
		"%proc.name %toupper(proc.name) %fd.types %proc.args %evt.arg.flags",
		"%fd.types %20proc.name %evt.time %evt.args",
	}
	texts := []alert.Append{{Fields: []alert.ExtraField{{Name: "types", Format: "%fd.types of %proc.name"}, {Name: "fd.name"}}}}
	c := shadow(t)
	var together []*alert.Formatter
	opts := defaults()
	opts.Append, opts.Scratch = texts, new(alert.Scratch)
	for _, text := range outputs {
		f, err := alert.New(rule, text, opts)
		if err != nil {
			t.Fatal(err)
		}
		together = append(together, f)
	}
	opts.Scratch = nil
	for range 2 {
		for i, text := range outputs {
			want := format(t, c, text, opts)
			if diff := cmp.Diff(string(want.Line), string(together[i].Format(c).Line)); diff != "" {
				t.Errorf("%s (-alone +together):\n%s", text, diff)
			}
		}
	}
}

// Rules that show the same fields have them in common.
func TestSharedMemory(t *testing.T) {
	const n = 200
	size := func(shared *alert.Scratch) int64 {
		opts := defaults()
		opts.Scratch = shared
		var list []*alert.Formatter
		before := heap()
		for range n {
			f, err := alert.New(rule, output, opts)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, f)
		}
		each := (heap() - before) / n
		runtime.KeepAlive(list)
		return each
	}
	alone, together := size(nil), size(new(alert.Scratch))
	t.Logf("%d bytes alone, %d together", alone, together)
	if together > alone/2 {
		t.Errorf("a formatter takes %d bytes beside others, %d alone", together, alone)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // also what the first has finalized
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
