package field

import (
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// A parameter has two texts: the raw one, and the one that it resolves to (the
// names of flags, the user behind a uid). evt.arg gives the second where there
// is one, evt.args both: "flags=1(O_RDONLY)".
type rendering struct {
	raw, resolved func(c *Context, dst []byte, p *slotParam) []byte
}

// Renderers append to Context.out, never to Context.buf: they ask for values
// that are built there.

// slotParam is a parameter of a kind, with the settings of its text.
type slotParam struct {
	event.Param
	slot   int
	format format
	flags  flagTable
	paths  int  // number of path parameters before this one
	dated  bool // by the probe, in ns since the epoch
}

// format is the base in which a number prints.
type format uint8

const (
	decimal format = iota
	hexadecimal
	octal
	zeroOctal // 0644
)

// kindParams are the parameters by kind and slot, extras left out.
var kindParams = func() (params [event.NumKinds][]slotParam) {
	for k := range params {
		paths := 0
		for i, p := range event.Kind(k).Info().Params {
			params[k] = append(params[k], slotParam{
				Param: p, slot: i, format: formatOf(event.Kind(k), p), flags: flagTables[p.Table], paths: paths,
				dated: p.Name == "pidns_init_start_ts",
			})
			if p.Type == event.Path || p.Type == event.RelPath {
				paths++
			}
		}
	}
	return params
}()

// formatOf is how libs' event table prints a number of a parameter.
func formatOf(k event.Kind, p event.Param) format {
	switch p.Name {
	case "mode":
		if k == event.KindMkdir || k == event.KindMkdirat {
			return hexadecimal
		}
		if p.Type == event.Uint32 { // of opens
			return zeroOctal
		}
		return octal
	case "dev":
		if k != event.KindMknod && k != event.KindMknodat {
			return hexadecimal
		}
	case "addr", "data", "request", "argument", "mask", "source", "peer", "arg", "key",
		"cap_inheritable", "cap_permitted", "cap_effective":
		return hexadecimal
	case "flags":
		if p.Table == "" {
			return hexadecimal
		}
	}
	return decimal
}

func appendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }

func (f format) append(dst []byte, n uint64) []byte {
	switch f {
	case octal:
		return strconv.AppendUint(dst, n, 8)
	case zeroOctal:
		if n != 0 {
			dst = append(dst, '0')
		}
		return strconv.AppendUint(dst, n, 8)
	case hexadecimal:
		return appendHex(dst, n)
	}
	return strconv.AppendUint(dst, n, 10)
}

// appendHex appends n in upper case, without 0x.
func appendHex(dst []byte, n uint64) []byte {
	start := len(dst)
	dst = strconv.AppendUint(dst, n, 16)
	for i := start; i < len(dst); i++ {
		if dst[i] >= 'a' {
			dst[i] -= 'a' - 'A'
		}
	}
	return dst
}

// renderings are the texts by type. It is filled in by init, since some of its
// functions refer to it.
var renderings [event.File + 1]rendering

func init() {
	signed := rendering{raw: rawSigned, resolved: unresolved}
	number := rendering{raw: rawNumber, resolved: unresolved}
	renderings = [...]rendering{
		event.TypeNone: {rawNothing, unresolved},
		event.Errno:    {rawSigned, resolvedErrno},
		event.FD:       {rawSigned, resolvedFD},
		event.PID:      {rawSigned, resolvedPID},
		event.UID:      {rawAccount, resolvedUser},
		event.GID:      {rawAccount, resolvedGroup},
		event.Int8:     signed, event.Int16: signed, event.Int32: signed, event.Int64: signed,
		event.Uint8: number, event.Uint16: number, event.Uint32: number, event.Uint64: number,
		event.SigType:     {rawNumber, resolvedSignal},
		event.SigSet:      {rawSignals, unresolved},
		event.RelTime:     {rawDuration, resolvedDuration},
		event.AbsTime:     {rawTime, unresolved},
		event.Flags:       {rawNumber, resolvedBits},
		event.Enum:        {rawNumber, resolvedEnum},
		event.Mode:        {rawNumber, resolvedBits},
		event.SyscallName: {rawNumber, resolvedSyscall},
		event.String:      {rawString, unresolved},
		event.Path:        {rawString, resolvedPath},
		event.RelPath:     {rawString, resolvedPath},
		event.Bytes:       {rawBytes, unresolved},
		event.Strings:     {rawBytes, unresolved},
		event.SockAddr:    {rawSockAddr, unresolved},
		event.SockTuple:   {rawSockTuple, unresolved},
		event.FDList:      {rawFDList, unresolved},
		event.Dyn:         {rawDyn, resolvedDyn},
		event.File:        {rawNothing, unresolved},
	}
}

func unresolved(_ *Context, dst []byte, _ *slotParam) []byte { return dst }
func rawNothing(_ *Context, dst []byte, _ *slotParam) []byte { return dst }

func rawSigned(c *Context, dst []byte, p *slotParam) []byte {
	n := c.Event.Int(p.slot)
	if p.format != decimal {
		return p.format.append(dst, uint64(n))
	}
	return appendInt(dst, n)
}

func rawNumber(c *Context, dst []byte, p *slotParam) []byte {
	return p.format.append(dst, c.number(p))
}

// number is an unsigned parameter. The probe dates the starts of pid namespaces
// by the time of day at which it was loaded.
func (c *Context) number(p *slotParam) uint64 {
	n := c.Event.Uint(p.slot)
	if p.dated && n != 0 {
		n += uint64(c.Table.Redated())
	}
	return n
}

func resolvedErrno(c *Context, dst []byte, p *slotParam) []byte {
	return append(dst, errnoName(c.Event.Int(p.slot))...)
}

const noID = 0xffffffff

func rawAccount(c *Context, dst []byte, p *slotParam) []byte {
	if id := uint32(c.Event.Uint(p.slot)); id != noID {
		return strconv.AppendUint(dst, uint64(id), 10)
	}
	return append(dst, "-1"...)
}

func resolvedUser(c *Context, dst []byte, p *slotParam) []byte {
	if id := uint32(c.Event.Uint(p.slot)); id != noID {
		return append(dst, c.Table.User(c.Proc, id).Name...)
	}
	return append(dst, "<NONE>"...)
}

func resolvedGroup(c *Context, dst []byte, p *slotParam) []byte {
	if id := uint32(c.Event.Uint(p.slot)); id != noID {
		return append(dst, c.Table.Group(c.Proc, id).Name...)
	}
	return append(dst, "<NONE>"...)
}

func resolvedSignal(c *Context, dst []byte, p *slotParam) []byte {
	return append(dst, signalName(c.Event.Uint(p.slot))...)
}

func rawSignals(c *Context, dst []byte, p *slotParam) []byte {
	set, start := c.Event.Uint(p.slot), len(dst)
	for i := range uint64(64) {
		name := signalName(i + 1)
		if set&(1<<i) == 0 || name == "" {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ' ')
		}
		dst = append(dst, name...)
	}
	return dst
}

func rawDuration(c *Context, dst []byte, p *slotParam) []byte {
	if ns := c.Event.Uint(p.slot); ns != ^uint64(0) {
		return strconv.AppendUint(dst, ns, 10)
	}
	return append(dst, "none"...)
}

func resolvedDuration(c *Context, dst []byte, p *slotParam) []byte {
	ns := c.Event.Uint(p.slot)
	if ns == ^uint64(0) {
		return dst
	}
	return appendSeconds(dst, ns)
}

// appendSeconds is printf's %lgs.
func appendSeconds(dst []byte, ns uint64) []byte {
	return append(strconv.AppendFloat(dst, float64(ns)/1e9, 'g', 6, 64), 's')
}

func rawTime(c *Context, dst []byte, p *slotParam) []byte {
	return time.Unix(0, c.Event.Int(p.slot)).AppendFormat(dst, "2006-01-02 15:04:05.000000000 -0700")
}

func resolvedBits(c *Context, dst []byte, p *slotParam) []byte {
	return p.flags.appendBits(dst, uint32(c.Event.Uint(p.slot)))
}

func resolvedEnum(c *Context, dst []byte, p *slotParam) []byte {
	return p.flags.appendEnum(dst, uint32(c.Event.Uint(p.slot)))
}

func resolvedSyscall(c *Context, dst []byte, _ *slotParam) []byte {
	return append(dst, syscallID(c).String()...)
}

func rawString(c *Context, dst []byte, p *slotParam) []byte {
	s, _ := c.Event.Str(p.slot)
	return append(dst, s...)
}

// rawBytes renders unprintable bytes as dots, as Falco does, and data of reads
// and writes in base64 if configured.
func rawBytes(c *Context, dst []byte, p *slotParam) []byte {
	s, _ := c.Event.Str(p.slot)
	switch p.Name {
	case "args", "env", "cgroups", "argv":
		return appendPrintable(dst, s)
	}
	s = c.snap(s)
	if c.static().Base64 {
		return base64.StdEncoding.AppendEncode(dst, []byte(s))
	}
	return appendPrintable(dst, s)
}

func appendPrintable(dst []byte, s string) []byte {
	for i := range len(s) {
		b := s[i]
		if b < ' ' || b > '~' {
			b = '.'
		}
		dst = append(dst, b)
	}
	return dst
}

// dynamic decodes a value whose type comes with it: a byte with the type, then
// 8 bytes for a number, or text.
func dynamic(c *Context, p *slotParam) (t event.Type, n uint64, text string) {
	s, _ := c.Event.Str(p.slot)
	if s == "" {
		return event.TypeNone, 0, ""
	}
	t = event.Type(s[0])
	if t.Variable() {
		return t, 0, s[1:]
	}
	var word [8]byte
	copy(word[:], s[1:])
	return t, binary.NativeEndian.Uint64(word[:]), ""
}

func rawDyn(c *Context, dst []byte, p *slotParam) []byte {
	t, n, text := dynamic(c, p)
	switch t {
	case event.TypeNone:
		return dst
	case event.Errno, event.FD, event.PID, event.Int8, event.Int16, event.Int32, event.Int64:
		return appendInt(dst, int64(n))
	}
	if t.Variable() {
		return appendPrintable(dst, text)
	}
	return p.format.append(dst, n)
}

func resolvedDyn(c *Context, dst []byte, p *slotParam) []byte {
	switch t, n, _ := dynamic(c, p); t {
	case event.Errno:
		return append(dst, errnoName(int64(n))...)
	case event.SigType:
		return append(dst, signalName(n)...)
	case event.RelTime:
		return appendSeconds(dst, n)
	}
	return dst
}
