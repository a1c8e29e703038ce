package field

import "github.com/peregrine-sec/peregrine/internal/sensor/event"

const anyExecute = 0o111

// opening says where an open has its parameters; slots are -1 where there is
// none.
type opening struct {
	is          bool
	name        int
	flags, mode int
}

var openings = func() (o [event.NumKinds]opening) {
	for _, k := range []event.Kind{
		event.KindOpen, event.KindOpenat, event.KindOpenat2, event.KindCreat, event.KindOpenByHandleAt,
	} {
		info := k.Info()
		name := "name"
		if k == event.KindOpenByHandleAt {
			name = "path"
		}
		o[k] = opening{is: true, name: info.Slot(name), flags: info.Slot("flags"), mode: info.Slot("mode")}
	}
	return o
}()

func isOpen(k event.Kind) bool { return openings[k].is }

// openFlags are the flags of an open in Falco's bits; creat has none of its
// own, and means these.
func openFlags(c *Context) uint64 {
	if slot := openings[c.Event.Kind()].flags; slot >= 0 {
		return c.Event.Uint(slot)
	}
	return event.OpenWrite | event.OpenCreat
}

func openFields() []Field {
	return []Field{
		ofOpen("evt.is_open_read", "True for opens that ask for read access.", func(c *Context) bool {
			return openFlags(c)&event.OpenRead != 0
		}).inKernel(),
		ofOpen("evt.is_open_write", "True for opens that ask for write access, including creat.", func(c *Context) bool {
			return openFlags(c)&event.OpenWrite != 0
		}).inKernel(),
		ofOpen("evt.is_open_exec", "True for opens that may create an executable file.", func(c *Context) bool {
			slot := openings[c.Event.Kind()].mode
			makes := openFlags(c)&event.OpenCreat != 0 || isTmpfile(c)
			return slot >= 0 && makes && c.Event.Uint(slot)&anyExecute != 0
		}),
		ofOpen("evt.is_open_create", "True for opens that created a file.", func(c *Context) bool {
			made := isTmpfile(c) || c.Event.Kind() == event.KindCreat
			return openFlags(c)&event.OpenCreated != 0 || (made && c.Event.Int(0) >= 0)
		}),
	}
}

// ofOpen is false for every event that is no open.
func ofOpen(name, doc string, is func(*Context) bool) Field {
	return boolean(name, AtEvent, doc, func(c *Context) (uint64, bool) {
		return b2u(isOpen(c.Event.Kind()) && is(c)), true
	})
}
