package field_test

import (
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/test/support/fieldtest"
)

// Fields of any event have values or are missing: its parameters come from an
// arbitrary process or a damaged capture.
func FuzzFields(f *testing.F) {
	f.Add(uint16(event.KindOpenat), []byte("\x02\x01\x00../../etc/shadow"))
	f.Add(uint16(event.KindConnect), []byte("\x02\x0a\x00\x00\x01\x50\x00\x0a\x00\x00\x02\x50\x00"))
	f.Add(uint16(event.KindPpoll), []byte("\xff\xff\x01\x00\x00\x00"))
	f.Add(uint16(event.KindPtrace), []byte{byte(event.SigType), 9})
	f.Add(uint16(event.KindExecve), []byte("a\x00b\x00\xff"))
	w := shells(f)
	var getters []field.Extractor
	for _, fd := range field.Syscall.All() {
		for _, text := range sampleTexts(fd) {
			_, x, err := field.Lookup(text)
			if err != nil {
				f.Fatal(err)
			}
			getters = append(getters, x)
		}
	}
	f.Fuzz(func(t *testing.T, kind uint16, data []byte) {
		k := event.Kind(int(kind) % event.NumKinds)
		switch k {
		case event.KindTask, event.KindProcfork, event.KindProcmove, event.KindProcexit:
			return // these change the processes of the other runs
		}
		c := w.Event(t, 14, k, spread(k, data)...)
		for _, x := range getters {
			touch(x, c)
		}
		for n := range c.Names() {
			c.Use(n)
			for _, x := range getters {
				touch(x, c)
			}
		}
	})
}

// spread gives every parameter and extra of a kind a value out of data: bytes
// from a place of its own, or the number there.
func spread(k event.Kind, data []byte) []fieldtest.Param {
	info := k.Info()
	return []fieldtest.Param{func(b *event.Builder, _ *event.Info) {
		for slot := range info.Slots() {
			var p event.Param
			if slot < len(info.Params) {
				p = info.Params[slot]
			} else {
				p = info.Extras[slot-len(info.Params)]
			}
			part := data[min(len(data), slot):]
			switch {
			case p.Type.Variable() && len(part)%3 != 0:
				b.Bytes(slot, part)
			case !p.Type.Variable() && len(part) > 0:
				b.Int(slot, int64(int8(part[0]))<<(part[0]%50))
			}
		}
	}}
}
