package event

import (
	"encoding/binary"
	"net/netip"
	"testing"
)

func TestSockEncodings(t *testing.T) {
	v4, v6 := netip.MustParseAddrPort("192.0.2.1:443"), netip.MustParseAddrPort("[2001:db8::1]:53")
	for _, tc := range []struct {
		family   byte
		from, to netip.AddrPort
	}{{familyIPv4, v4, netip.MustParseAddrPort("198.51.100.7:5000")}, {familyIPv6, v6, netip.MustParseAddrPort("[::1]:1")}} {
		var b Builder
		b.Start(KindConnect, Header{})
		tuple := appendEndpoint(appendEndpoint([]byte{tc.family}, tc.from), tc.to)
		b.Bytes(KindConnect.Info().Slot("tuple"), tuple)
		b.Bytes(KindConnect.Info().Slot("addr"), appendEndpoint([]byte{tc.family}, tc.to))
		var v View
		if err := v.Reset(b.Finish()); err != nil {
			t.Fatal(err)
		}
		from, to, ok := v.SockTuple(KindConnect.Info().Slot("tuple"))
		if !ok || from.Addr != tc.from || to.Addr != tc.to {
			t.Errorf("tuple %v -> %v is read as %v -> %v, %v", tc.from, tc.to, from, to, ok)
		}
		if a, ok := v.SockAddr(KindConnect.Info().Slot("addr")); !ok || a.Addr != tc.to {
			t.Errorf("address %v is read as %v, %v", tc.to, a, ok)
		}
	}
}

func TestSockEncodingsUnix(t *testing.T) {
	var b Builder
	b.Start(KindConnect, Header{})
	b.Str(KindConnect.Info().Slot("tuple"), "\x01\x07@client/run/server")
	b.Str(KindConnect.Info().Slot("addr"), "\x01/run/server")
	var v View
	if err := v.Reset(b.Finish()); err != nil {
		t.Fatal(err)
	}
	from, to, ok := v.SockTuple(KindConnect.Info().Slot("tuple"))
	if !ok || from != (Endpoint{Path: "@client", Unix: true}) || to != (Endpoint{Path: "/run/server", Unix: true}) {
		t.Errorf("tuple = %v, %v, %v", from, to, ok)
	}
	if a, ok := v.SockAddr(KindConnect.Info().Slot("addr")); !ok || a.Path != "/run/server" {
		t.Errorf("addr = %v, %v", a, ok)
	}
}

func TestSockEncodingsShort(t *testing.T) {
	for _, s := range []string{"", "\x02", "\x02abc", "\x0aabcdefgh", "\x63abcdefghijkl"} {
		var b Builder
		b.Start(KindConnect, Header{})
		b.Str(KindConnect.Info().Slot("tuple"), s)
		b.Str(KindConnect.Info().Slot("addr"), s)
		var v View
		if err := v.Reset(b.Finish()); err != nil {
			t.Fatal(err)
		}
		if _, _, ok := v.SockTuple(KindConnect.Info().Slot("tuple")); ok {
			t.Errorf("tuple %q was taken", s)
		}
		if _, ok := v.SockAddr(KindConnect.Info().Slot("addr")); ok {
			t.Errorf("address %q was taken", s)
		}
	}
}

// appendEndpoint appends an address and port as they are in a SockAddr and a
// SockTuple, without the family.
func appendEndpoint(p []byte, a netip.AddrPort) []byte {
	return binary.NativeEndian.AppendUint16(append(p, a.Addr().AsSlice()...), a.Port())
}
