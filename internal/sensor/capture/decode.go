package capture

import (
	"errors"
	"fmt"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// maxParams is more than any event has.
const maxParams = 64

// rawEvent is an event block taken apart. It borrows the block.
type rawEvent struct {
	cpu    uint16
	code   uint16
	tid    int32
	ts     uint64
	params [maxParams][]byte // in the file's order
	n      int
	tail   []byte // of the block, behind the event
}

var errEvent = errors.New("event is shorter than its parameters")

// parse takes apart an event block:
//
//	u16 cpu [u32 flags] { u64 time, u64 thread, u32 length, u16 code [u32 parameters] } lengths data
//
// The flags are there in blocks of their own types, the number of parameters
// since version 2; lengths have 16 bits, in large blocks 32.
func (e *rawEvent) parse(typ uint32, body []byte, o order) error {
	withFlags := typ == blockEventFlag || typ == blockEventFlag2 || typ == blockEventFlag2Large
	v1 := typ == blockEvent || typ == blockEventOld || typ == blockEventFlag
	large := typ == blockEvent2Large || typ == blockEventFlag2Large

	head := 2
	if withFlags {
		head += 4
	}
	const headV1, headV2 = 22, 26
	if len(body) < head+headV1 {
		return errEvent
	}
	e.cpu = o.u16(body)
	h := body[head:]
	e.ts, e.tid, e.code, e.tail = o.u64(h), int32(o.u64(h[8:])), o.u16(h[20:]), nil
	if n := int64(o.u32(h[16:])); n < int64(len(h)) { // without the block's padding
		if n < headV1 {
			return errEvent
		}
		e.tail, h = h[n:], h[:n]
	}
	if v1 {
		return e.splitV1(h[headV1:], o)
	}
	if len(h) < headV2 {
		return errEvent
	}
	n := o.u32(h[22:])
	if n > maxParams {
		return fmt.Errorf("event has %d parameters", n)
	}
	e.n = int(n)
	width := 2
	if large {
		width = 4
	}
	return e.split(h[headV2:], width, o)
}

// split takes the parameters apart: e.n lengths, then the data.
func (e *rawEvent) split(b []byte, width int, o order) error {
	if len(b) < e.n*width {
		return errEvent
	}
	lens, data := b[:e.n*width], b[e.n*width:]
	for i := range e.n {
		var n int
		if width == 2 {
			n = int(o.u16(lens[2*i:]))
		} else {
			n = int(o.u32(lens[4*i:]))
		}
		if n > len(data) {
			return errEvent
		}
		e.params[i], data = data[:n], data[n:]
	}
	return nil
}

// splitV1 is split for an event without a parameter count: the known number
// that fits its length.
func (e *rawEvent) splitV1(b []byte, o order) error {
	e.n = 0
	if int(e.code) >= len(codes) || codes[e.code].role == skipped {
		return nil
	}
	for n := len(codes[e.code].slots); n >= 0; n-- {
		total := 2 * n
		for i := 0; i < n && total <= len(b); i++ {
			if 2*i+2 > len(b) {
				total = len(b) + 1
				break
			}
			total += int(o.u16(b[2*i:]))
		}
		if total == len(b) {
			e.n = n
			return e.split(b, 2, o)
		}
	}
	return errEvent
}

// values are the parameters of an event by our slots; nil for those that the
// file does not have.
type values struct {
	v     [maxParams][]byte
	order order
}

// set takes over the parameters of e, whose code is c.
func (v *values) set(e *rawEvent, c *code) {
	for i := range min(e.n, len(c.slots)) {
		if s := c.slots[i]; s >= 0 && len(e.params[i]) > 0 {
			v.v[s] = e.params[i]
		}
	}
}

// fillIn is set for parameters that are not there yet.
func (v *values) fillIn(e *rawEvent, c *code) {
	for i := range min(e.n, len(c.slots)) {
		if s := c.slots[i]; s >= 0 && v.v[s] == nil && len(e.params[i]) > 0 {
			v.v[s] = e.params[i]
		}
	}
}

// has says whether the parameter is there.
func (v *values) has(slot int) bool { return v.v[slot] != nil }

// num is a number, of whatever width; 0 if it is not there.
func (v *values) num(slot int) uint64 {
	switch b := v.v[slot]; len(b) {
	case 8:
		return v.order.u64(b)
	case 4:
		return uint64(v.order.u32(b))
	case 2:
		return uint64(v.order.u16(b))
	case 1:
		return uint64(b[0])
	}
	return 0
}

// int is num for a signed number.
func (v *values) int(slot int) int64 {
	switch n := v.num(slot); len(v.v[slot]) {
	case 4:
		return int64(int32(n))
	case 2:
		return int64(int16(n))
	case 1:
		return int64(int8(n))
	default:
		return int64(n)
	}
}

// text is a string without its NUL.
func (v *values) text(slot int) []byte {
	b := v.v[slot]
	if n := len(b); n > 0 && b[n-1] == 0 {
		return b[:n-1]
	}
	return b
}

// build puts the parameters into an event, in our encoding.
func (r *Reader) build(b *event.Builder, info *event.Info) {
	v := &r.vals
	for i := range info.Params {
		if v.v[i] == nil {
			continue
		}
		switch t := info.Params[i].Type; t {
		case event.Errno, event.FD, event.PID, event.Int8, event.Int16, event.Int32, event.Int64:
			b.Int(i, v.int(i))
		case event.String, event.Path, event.RelPath:
			b.Bytes(i, v.text(i))
		case event.Bytes, event.Strings:
			b.Bytes(i, v.v[i])
		case event.SockAddr:
			r.scratch = r.appendAddr(r.scratch[:0], v.v[i])
			b.Bytes(i, r.scratch)
		case event.SockTuple:
			r.scratch = r.appendTuple(r.scratch[:0], v.v[i])
			b.Bytes(i, r.scratch)
		case event.FDList:
			r.scratch = v.order.appendFDList(r.scratch[:0], v.v[i])
			b.Bytes(i, r.scratch)
		case event.Dyn:
			r.scratch = r.appendDyn(r.scratch[:0], info.Params[i].Table, v.v[i])
			b.Bytes(i, r.scratch)
		case event.SyscallName:
			b.Uint(i, uint64(r.syscall(v)))
		default:
			b.Uint(i, v.num(i))
		}
	}
}

// syscall is our ID of the syscall of a generic event: from libs' number, or,
// for syscalls that are newer than our list of those, from the machine's own.
func (r *Reader) syscall(v *values) uint16 {
	const id, native = 0, 1
	if n := v.num(id); n > 0 && n < uint64(len(sysIDs)) && sysIDs[n] != event.NoSyscall {
		return sysIDs[n]
	}
	if v.has(native) {
		return native64(int(v.num(native)))
	}
	return event.NoSyscall
}

// native64 is our ID of a syscall of a 64-bit x86 machine. Files do not name
// their machine; nearly all are from such.
func native64(n int) uint16 {
	if n >= 0 && n < len(amd64) {
		return amd64[n]
	}
	return event.NoSyscall
}

var amd64 = func() (ids [512]uint16) {
	for i := range ids {
		ids[i] = event.NoSyscall
	}
	for id := range event.NumSyscalls() {
		if n, ok := event.ID(id).Number(event.AMD64); ok && n < len(ids) {
			ids[n] = uint16(id)
		}
	}
	return ids
}()

// appendFDList copies a list of polled descriptors: u16 count, then count
// times {s64 fd, s16 events}, in this machine's byte order.
func (o order) appendFDList(dst, b []byte) []byte {
	if !o.swapped || len(b) < 2 {
		return append(dst, b...)
	}
	dst = appendNative16(dst, o.u16(b))
	for b = b[2:]; len(b) >= 10; b = b[10:] {
		dst = appendNative16(appendNative64(dst, o.u64(b)), o.u16(b[8:]))
	}
	return dst
}

// dynTypes are the types of values by their number in libs' tables of dynamic
// parameters.
var dynTypes = map[string][]event.Type{
	"ptrace_dynamic_param":  {event.Uint64, event.SigType},
	"sockopt_dynamic_param": {event.Bytes, event.Errno, event.Uint32, event.Uint64, event.RelTime},
	"keyctl_dynamic_param":  {event.Uint64, event.String},
}

// appendDyn turns u8 index, value into u8 type, value.
func (r *Reader) appendDyn(dst []byte, table string, b []byte) []byte {
	types := dynTypes[table]
	if len(b) == 0 || int(b[0]) >= len(types) {
		return dst
	}
	t := types[b[0]]
	dst = append(dst, byte(t))
	if t.Variable() {
		if b = b[1:]; t == event.String && len(b) > 0 && b[len(b)-1] == 0 {
			b = b[:len(b)-1]
		}
		return append(dst, b...)
	}
	one := values{order: r.vals.order}
	one.v[0] = b[1:]
	if t == event.Errno {
		return appendNative64(dst, uint64(one.int(0)))
	}
	return appendNative64(dst, one.num(0))
}
