package plan

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// rules are those that can match a call with this result on a descriptor, which is
// nil for a call without one. address_rules of probe/bpf/addressfilter.h returns
// the same set.
func (a *Addresses) rules(kind event.Kind, res int64, f *event.FileInfo) Bits {
	if f == nil || f.Type != event.FDIPv4 && f.Type != event.FDIPv6 {
		return a.Nameless
	}
	local, remote := f.Addrs()
	alone := f.DPort == 0 && !(remote.IsValid() && !remote.Unmap().IsUnspecified())
	switch {
	case alone && f.SPort != 0:
		return a.at(local, f.SPort, event.EndLocalAlone)
	case alone:
		return a.Nameless
	}
	var b Bits
	isServer := f.Flags&event.FileServer != 0
	if !isServer || kind != event.KindAccept && kind != event.KindAccept4 {
		b = b.Or(a.at(local, f.SPort, event.EndLocalClient).And(a.at(remote, f.DPort, event.EndRemoteServer)))
	}
	if isServer || kind != event.KindConnect || !connects(res) {
		b = b.Or(a.at(local, f.SPort, event.EndLocalServer).And(a.at(remote, f.DPort, event.EndRemoteClient)))
	}
	return b
}

// at are the rules that can match an end with this address and port.
func (a *Addresses) at(addr netip.Addr, port uint16, end int) Bits {
	addr = addr.Unmap()
	for n := addr.BitLen(); n >= 0; n-- {
		if p, err := addr.Prefix(n); err == nil {
			if sets, ok := a.Networks[p]; ok {
				return Bits(sets[end]).And(a.PortRules[a.Ports[port]][end])
			}
		}
	}
	return AllBits
}

// connects says whether a connect with this result has made a connection, or will.
func connects(res int64) bool { return res >= 0 || res == -int64(unix.EINPROGRESS) }
