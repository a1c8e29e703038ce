package field_test

import (
	"slices"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/test/support/fieldtest"
)

func TestHiddenFields(t *testing.T) {
	w := shells(t)
	file, socket := event.FileInfo{Type: event.FDFile}, event.FileInfo{Type: event.FDIPv4}
	for _, tt := range []struct {
		file event.FileInfo
		res  int64
		want map[string]string
	}{
		{file, 7, map[string]string{
			"evt.buflen.in": "7", "evt.buflen.out": "-", "evt.buflen.file": "7", "evt.buflen.file.in": "7", "evt.buflen.file.out": "-",
			"evt.buflen.net": "-", "evt.latency.quantized": "0", "evt.count.procinfo": "-", "evt.infra.docker.name": "-",
			"thread.nametid": "cat14",
		}},
		{socket, 9, map[string]string{"evt.buflen.net": "9", "evt.buflen.net.in": "9", "evt.buflen.net.out": "-", "evt.buflen.file": "-"}},
		{file, -1, map[string]string{"evt.buflen.in": "-"}},
	} {
		c := w.Event(t, 14, event.KindRead, fieldtest.Num("res", tt.res), fieldtest.Num("fd", 4), fieldtest.File(tt.file, ""))
		for text, want := range tt.want {
			_, x, err := field.Lookup(text)
			if err != nil {
				t.Fatal(err)
			}
			if got := valueOf(x, c); got != want {
				t.Errorf("%s = %q, want %q", text, got, want)
			}
		}
	}
	if i := slices.IndexFunc(field.All(), func(f *field.Field) bool { return f.Name == "thread.nametid" }); i >= 0 {
		t.Error("hidden fields are listed")
	}
}

// These fields load and never have a value.
//
// It shows a row of docs/compatibility.md.
func TestNeverSet(t *testing.T) {
	c := shells(t).Event(t, 14, event.KindOpenat, openat()...)
	for _, name := range []string{
		"thread.exectime", "thread.totexectime", "thread.cpu", "thread.cpu.user", "thread.cpu.system", "evt.pluginname", "evt.plugininfo",
	} {
		_, x, err := field.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := valueOf(x, c); got != "-" {
			t.Errorf("%s = %q", name, got)
		}
	}
}
