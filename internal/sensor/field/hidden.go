package field

import (
	"strconv"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// hiddenFields are those that Falco does not list either (EPF_TABLE_ONLY and
// EPF_PRINT_ONLY in libs): some old rules use them.
func hiddenFields() []Field {
	zero := func(*Context) (uint64, bool) { return 0, true }
	fields := []Field{
		unsigned("evt.latency.quantized", Uint, AtLoad, "Always 0: the sensor sees only the end of a syscall.", zero).with(Deprecated),
		eventTime("evt.outputtime", "The same as evt.time.", false, true).with(EpochJSON),
		never("evt.count.procinfo", Uint, "Process samples, which are not taken."),
		never("evt.count.threadinfo", Uint, "Process samples, which are not taken."),
		bytesOf("thread.vmsize.b", "VmSize:", "Virtual memory of the process, in bytes; of main threads only.", func(p *state.Process) uint32 { return p.VMSize }),
		bytesOf("thread.vmrss.b", "VmRSS:", "Resident memory of the process, in bytes; of main threads only.", func(p *state.Process) uint32 { return p.VMRSS }),
		str("thread.nametid", AtEvent, "Name of the process and thread id, one after the other.", func(c *Context) (string, bool) {
			return c.keep(strconv.AppendInt(append(c.buf, c.Proc.Comm...), int64(c.Event.Header().TID), 10)), true
		}),
	}
	for _, name := range []string{"name", "container.id", "container.name", "container.image"} {
		fields = append(fields, never("evt.infra.docker."+name, String, "Events of Docker's own, which are not observed."))
	}
	anyFD := func(*Context) bool { return true }
	for _, f := range []struct {
		name string
		dirs event.Traits
		of   func(*Context) bool
	}{
		{"in", event.ReadsFD, anyFD}, {"out", event.WritesFD, anyFD},
		{"file", event.ReadsFD | event.WritesFD, isFile}, {"file.in", event.ReadsFD, isFile}, {"file.out", event.WritesFD, isFile},
		{"net", event.ReadsFD | event.WritesFD, isNet}, {"net.in", event.ReadsFD, isNet}, {"net.out", event.WritesFD, isNet},
	} {
		fields = append(fields, unsigned("evt.buflen."+f.name, Uint, AtEvent, "evt.buflen, of some events only.", func(c *Context) (uint64, bool) {
			res, ok := result(c)
			return uint64(res), ok && res >= 0 && c.Event.Info().Traits&f.dirs != 0 && f.of(c)
		}))
	}
	for i := range fields {
		fields[i] = fields[i].with(Hidden)
	}
	return fields
}

// bytesOf is a memory field in bytes.
func bytesOf(name, key, doc string, last func(*state.Process) uint32) Field {
	f := memory(name, key, doc, last)
	bind := f.Bind
	f.Bind = func(arg string) (Extractor, error) {
		x, err := bind(arg)
		kB := x.Uint
		x.Uint = func(c *Context) (uint64, bool) {
			n, ok := kB(c)
			return n * 1024, ok
		}
		return x, err
	}
	return f
}

func isFile(c *Context) bool {
	f := c.fileInfo()
	return f != nil && f.Type == event.FDFile
}

func isNet(c *Context) bool {
	f := c.fileInfo()
	return f != nil && (f.Type == event.FDIPv4 || f.Type == event.FDIPv6)
}
