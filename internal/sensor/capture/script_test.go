package capture

import (
	"fmt"
	"net/netip"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// Users writes the users and groups of the machine.
func (c *Writer) Users(users, groups map[uint32]string) {
	b := c.begin()
	for id, name := range users {
		b = c.sized(b, true, func(b []byte) []byte {
			b = c.order.AppendUint32(append(b, 0), id)
			b = c.order.AppendUint32(b, id)
			return c.str(c.str(c.str(b, name), "/home/"+name), "/bin/sh")
		})
	}
	for id, name := range groups {
		b = c.sized(b, true, func(b []byte) []byte {
			return c.str(c.order.AppendUint32(append(b, 1), id), name)
		})
	}
	c.block(blockUsers2, b)
}

// Value is the value of an event's parameter.
type Value struct {
	n     int64
	b     string
	bytes bool
	none  bool
}

// Num is a number, Text anything else (a path, a string, raw bytes, an Addr
// or a Tuple); None is for parameters without a value.
func Num(n int64) Value   { return Value{n: n} }
func Text(s string) Value { return Value{b: s, bytes: true} }

// None is a parameter without a value.
var None = Value{none: true}

// Event writes an event of thread tid at ts (ns since the epoch). values are
// the parameters of k in their order; those that are left out at the end are
// left out of the file.
func (c *Writer) Event(ts uint64, tid int64, cpu uint16, k event.Kind, values ...Value) {
	if codeOf[k] == 0 {
		c.err = fmt.Errorf("write capture: the format has no %s events", k)
		return
	}
	c.event(blockEvent2, ts, tid, cpu, codeOf[k], k.Info().Params, values)
}

func (c *Writer) event(typ uint32, ts uint64, tid int64, cpu, code uint16, params []event.Param, values []Value) {
	le := c.order
	b := le.AppendUint16(c.begin(), cpu)
	at := len(b)
	b = le.AppendUint64(le.AppendUint64(b, ts), uint64(tid))
	b = le.AppendUint16(le.AppendUint32(b, 0), code)
	if typ != blockEvent {
		b = le.AppendUint32(b, uint32(len(values)))
	}
	lens := len(b)
	b = append(b, make([]byte, 2*len(values))...)
	for i, v := range values {
		from := len(b)
		b = c.value(b, codes[code].kind, params[i], v)
		le.PutUint16(b[lens+2*i:], uint16(len(b)-from))
	}
	le.PutUint32(b[at+16:], uint32(len(b)-at))
	c.block(typ, b)
}

func (c *Writer) value(b []byte, k event.Kind, p event.Param, v Value) []byte {
	switch {
	case v.none:
		return b
	case v.bytes:
		b = append(b, v.b...)
		switch p.Type {
		case event.String, event.Path, event.RelPath:
			b = append(b, 0)
		}
		return b
	}
	return encoder{c.order}.number(b, width(k, p), uint64(v.n))
}

// Addr is the value of an address parameter, Tuple that of both ends of a
// connection, Unix that of a unix socket's tuple with the path of the server.
func Addr(a netip.AddrPort) Value {
	return Text(string(appendEndpoint([]byte{familyOf(a.Addr())}, a.Addr(), a.Port())))
}

// Tuple is the value of a connection from src to dst.
func Tuple(src, dst netip.AddrPort) Value {
	b := appendEndpoint([]byte{familyOf(src.Addr())}, src.Addr(), src.Port())
	return Text(string(appendEndpoint(b, dst.Addr(), dst.Port())))
}

// Unix is the value of a connection to the unix socket at path.
func Unix(path string) Value {
	return Text("\x01" + string(make([]byte, 16)) + path + "\x00")
}
