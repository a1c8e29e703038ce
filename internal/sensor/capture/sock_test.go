package capture

import (
	"net/netip"
	"testing"
)

func TestUnmap(t *testing.T) {
	addr := func(s string) netip.Addr {
		if s == "" {
			return netip.Addr{}
		}
		return netip.MustParseAddr(s)
	}
	for _, c := range [][4]string{
		{"1.2.3.4", "5.6.7.8", "1.2.3.4", "5.6.7.8"},
		{"::ffff:1.2.3.4", "::ffff:5.6.7.8", "1.2.3.4", "5.6.7.8"},
		{"::", "::ffff:5.6.7.8", "0.0.0.0", "5.6.7.8"},
		{"::ffff:1.2.3.4", "::", "1.2.3.4", "0.0.0.0"},
		{"::ffff:1.2.3.4", "", "1.2.3.4", ""},
		{"::", "", "::", ""},
		{"::", "::", "::", "::"},
		{"0.0.0.0", "", "0.0.0.0", ""},
		{"2001:db8::1", "::", "2001:db8::1", "::"},
		{"2001:db8::1", "::ffff:5.6.7.8", "2001:db8::1", "::ffff:5.6.7.8"},
	} {
		a, b := unmap(addr(c[0]), addr(c[1]))
		if a != addr(c[2]) || b != addr(c[3]) {
			t.Errorf("unmap(%s, %s) = %s, %s", c[0], c[1], a, b)
		}
	}
}
