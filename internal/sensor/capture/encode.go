package capture

import (
	"encoding/binary"
	"runtime"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// encoder turns the parameters of the probe's events into those of files: the
// way back from decode.go.
type encoder struct{ order byteOrder }

// scNumbers are libs' numbers of syscalls by our IDs; 0 for those that it does
// not know.
var scNumbers = func() []uint16 {
	of := make([]uint16, event.NumSyscalls())
	for n, id := range sysIDs {
		if id != event.NoSyscall && of[id] == 0 {
			of[id] = uint16(n)
		}
	}
	return of
}()

// encoded is an event as files have it.
type encoded struct {
	code uint16
	lens []int // of the parameters
	data []byte
}

// encode fills e with the event in v.
func (c encoder) encode(e *encoded, v *event.View) {
	e.lens, e.data = e.lens[:0], e.data[:0]
	k := v.Kind()
	if e.code = codeOf[k]; e.code == 0 || k == event.KindSyscall {
		c.generic(e, v)
		return
	}
	code := &codes[e.code]
	for _, slot := range code.slots {
		from := len(e.data)
		if slot >= 0 {
			e.data = c.param(e.data, v, int(slot))
		}
		e.lens = append(e.lens, len(e.data)-from)
	}
}

// generic writes a syscall of which files have nothing but its number, or the
// kind of which Falco does not have.
func (c encoder) generic(e *encoded, v *event.View) {
	e.code = codeOf[event.KindSyscall]
	id, native := v.Header().Syscall, uint16(0)
	if v.Kind() == event.KindSyscall {
		native = uint16(v.Uint(1))
	} else if int(id) < event.NumSyscalls() {
		abi := event.AMD64
		if runtime.GOARCH == "arm64" {
			abi = event.ARM64
		}
		if n, ok := event.ID(id).Number(abi); ok {
			native = uint16(n)
		}
	}
	sc := uint16(0)
	if int(id) < len(scNumbers) {
		sc = scNumbers[id]
	}
	e.data = c.order.AppendUint16(c.order.AppendUint16(e.data, sc), native)
	e.lens = append(e.lens, 2, 2)
}

// param appends the parameter in a slot. One that is missing has no length.
func (c encoder) param(b []byte, v *event.View, slot int) []byte {
	p := &v.Info().Params[slot]
	if !p.Type.Variable() {
		return c.number(b, width(v.Kind(), *p), v.Uint(slot))
	}
	s, ok := v.Bytes(slot)
	if !ok {
		return b
	}
	switch p.Type {
	case event.String, event.Path, event.RelPath:
		return append(append(b, s...), 0)
	case event.SockAddr:
		return c.addr(b, v, slot)
	case event.SockTuple:
		return c.tuple(b, v, slot)
	case event.Dyn:
		return c.dyn(b, p.Table, s)
	}
	return append(b, s...) // bytes, and lists of descriptors on this machine
}

func (c encoder) number(b []byte, width int, n uint64) []byte {
	switch width {
	case 1:
		return append(b, byte(n))
	case 2:
		return c.order.AppendUint16(b, uint16(n))
	case 4:
		return c.order.AppendUint32(b, uint32(n))
	}
	return c.order.AppendUint64(b, n)
}

func (c encoder) addr(b []byte, v *event.View, slot int) []byte {
	switch a, ok := v.SockAddr(slot); {
	case !ok:
		return b
	case a.Unix:
		return append(append(append(b, afUnix), a.Path...), 0)
	default:
		return c.endpoint(append(b, familyOf(a.Addr.Addr())), a)
	}
}

// tuple writes both ends; of unix sockets the one path that files have, that
// of the socket that is listening: the one with a name.
func (c encoder) tuple(b []byte, v *event.View, slot int) []byte {
	switch src, dst, ok := v.SockTuple(slot); {
	case !ok:
		return b
	case dst.Unix:
		path := dst.Path
		if path == "" {
			path = src.Path
		}
		b = append(append(b, afUnix), make([]byte, 16)...) // kernel addresses
		return append(append(b, path...), 0)
	default:
		return c.endpoint(c.endpoint(append(b, familyOf(src.Addr.Addr())), src), dst)
	}
}

func (c encoder) endpoint(b []byte, e event.Endpoint) []byte {
	return c.order.AppendUint16(append(b, e.Addr.Addr().AsSlice()...), e.Addr.Port())
}

// dyn writes u8 index of the type in its table, then the value.
func (c encoder) dyn(b []byte, table string, s []byte) []byte {
	if len(s) == 0 {
		return b
	}
	t := event.Type(s[0])
	for i, known := range dynTypes[table] {
		if known != t {
			continue
		}
		b = append(b, byte(i))
		switch {
		case t == event.String:
			return append(append(b, s[1:]...), 0)
		case t.Variable() || len(s) < 9:
			return append(b, s[1:]...)
		}
		return c.number(b, width(event.KindSyscall, event.Param{Type: t}), binary.NativeEndian.Uint64(s[1:]))
	}
	return b
}
