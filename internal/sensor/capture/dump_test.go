package capture

import (
	"fmt"
	"sort"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// dump writes an event as text: its header, parameters and extras.
func dump(v *event.View) string {
	var b strings.Builder
	h, info := v.Header(), v.Info()
	fmt.Fprintf(&b, "%d %s tid=%d pid=%d ppid=%d uid=%d gid=%d", h.Time, info.Name, h.TID, h.PID, h.PPID, int32(h.UID), int32(h.GID))
	if h.VTID != h.TID {
		fmt.Fprintf(&b, " vtid=%d", h.VTID)
	}
	if h.Res != 0 {
		fmt.Fprintf(&b, " res=%d", h.Res)
	}
	if h.Flags != 0 {
		fmt.Fprintf(&b, " flags=%d", h.Flags)
	}
	for i, p := range append(append([]event.Param(nil), info.Params...), info.Extras...) {
		sep := ""
		if i == len(info.Params) {
			sep = " |"
		}
		fmt.Fprintf(&b, "%s %s=%s", sep, p.Name, dumpParam(v, i, p))
	}
	return b.String()
}

func dumpParam(v *event.View, i int, p event.Param) string {
	if !p.Type.Variable() {
		return fmt.Sprint(v.Int(i))
	}
	s, ok := v.Str(i)
	if !ok {
		return "-"
	}
	switch p.Type {
	case event.SockAddr:
		a, ok := v.SockAddr(i)
		return fmt.Sprint(a, ok)
	case event.SockTuple:
		from, to, ok := v.SockTuple(i)
		return fmt.Sprintf("%v->%v %v", from, to, ok)
	case event.File:
		var f event.FileInfo
		v.FileInfo(i, &f)
		local, remote := f.Addrs()
		switch f.Type {
		case event.FDIPv4, event.FDIPv6:
			return fmt.Sprintf("{%d flags=%d proto=%d %v:%d %v:%d}", f.Type, f.Flags, f.L4Proto, local, f.SPort, remote, f.DPort)
		}
		return fmt.Sprintf("{%d flags=%d ino=%d dev=%d %q}", f.Type, f.Flags, f.Ino, f.Dev, f.Path())
	}
	return fmt.Sprintf("%q", s)
}

// counts is how many events of each kind there are, as text.
func counts(n map[string]int) string {
	var names []string
	for name := range n {
		names = append(names, name)
	}
	sort.Strings(names)
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%s=%d ", name, n[name])
	}
	return b.String()
}
