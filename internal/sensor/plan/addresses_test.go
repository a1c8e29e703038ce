package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/test/support/fieldtest"
)

// connection is the descriptor of a connected socket, or of one that is alone
// where there is no remote end.
func connection(t *testing.T, local, remote string, flags event.FileFlags) *event.FileInfo {
	t.Helper()
	l, r := netip.MustParseAddrPort(local), netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	if remote != "" {
		r, flags = netip.MustParseAddrPort(remote), flags|event.FileConnected
	}
	f := event.FileInfo{Type: event.FDIPv4, SPort: l.Port(), DPort: r.Port(), Flags: flags}
	if l.Addr().Is6() {
		f.Type = event.FDIPv6
		if remote == "" {
			r = netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
		}
	}
	w := fieldtest.New(t, fieldtest.Proc{PID: 14, Comm: "a"})
	data := string(append(l.Addr().AsSlice(), r.Addr().AsSlice()...))
	c := w.Event(t, 14, event.KindConnect, fieldtest.Num("res", 0), fieldtest.File(f, data))
	var got event.FileInfo
	if !c.Event.FileInfo(c.Event.Info().File, &got) {
		t.Fatal("no descriptor")
	}
	return &got
}

func TestAddresses(t *testing.T) {
	const metadata, ssh = "fd.sip=169.254.169.254", "fd.sport in (22, 2222)"
	const outside = "fd.ip != \"0.0.0.0\" and not fd.net=\"127.0.0.0/8\" and not fd.snet in (10.0.0.0/8, \"192.168.0.0/16\")"
	for _, tt := range []struct {
		condition     string
		kind          event.Kind
		res           int64
		local, remote string // none of either: not an IP socket
		want          bool
	}{
		{metadata, event.KindConnect, 0, "10.0.0.1:40000", "169.254.169.254:80", true},
		{metadata, event.KindConnect, 0, "10.0.0.1:40000", "169.254.169.253:80", false},
		{metadata, event.KindConnect, -115, "10.0.0.1:40000", "169.254.169.253:80", false},
		{metadata, event.KindConnect, 0, "169.254.169.254:40000", "10.0.0.1:80", false}, // the client's
		{metadata, event.KindAccept4, 7, "169.254.169.254:80", "10.0.0.1:40000", true},
		{metadata, event.KindAccept4, 7, "10.0.0.1:80", "169.254.169.254:40000", false},
		{metadata, event.KindSendto, 1, "10.0.0.1:80", "169.254.169.254:40000", true}, // either may be the server
		{metadata, event.KindSendto, 1, "169.254.169.254:80", "10.0.0.1:40000", true},
		{metadata, event.KindSendto, 1, "10.0.0.1:80", "10.0.0.2:40000", false},
		{metadata, event.KindListen, 0, "169.254.169.254:80", "", true}, // alone, it is the server
		{metadata, event.KindListen, 0, "0.0.0.0:80", "", false},
		{metadata, event.KindSendto, 1, "0.0.0.0:40000", "", false}, // names nobody
		{metadata, event.KindSendto, 1, "169.254.169.254:80", "", true},
		{metadata, event.KindRecvfrom, 1, "[::]:40000", "", false},
		{metadata, event.KindSendto, 1, "0.0.0.0:0", "169.254.169.254:0", true}, // from a raw socket
		{metadata, event.KindSendto, -11, "", "", false},
		{"not " + metadata, event.KindSendto, -11, "", "", true},
		{"not " + metadata, event.KindConnect, 0, "10.0.0.1:40000", "169.254.169.254:80", false},
		{metadata, event.KindConnect, 0, "[::1]:40000", "[::1]:80", false},
		{"fd.sip=\"::1\"", event.KindConnect, 0, "[::1]:40000", "[::1]:80", true},
		{"fd.snet=\"2001:db8::/32\"", event.KindConnect, 0, "[::1]:40000", "[2001:db8:1::1]:80", true},
		{"fd.snet=\"2001:db8::/32\"", event.KindConnect, 0, "[2001:db8::1]:40000", "[2001:db9::1]:80", false},
		{"fd.snet=\"::/0\"", event.KindConnect, 0, "10.0.0.1:40000", "10.0.0.2:80", false},
		{ssh, event.KindConnect, 0, "10.0.0.1:40000", "10.0.0.2:2222", true},
		{ssh, event.KindConnect, 0, "10.0.0.1:2222", "10.0.0.2:80", false},
		{ssh, event.KindSendto, 1, "10.0.0.1:2222", "10.0.0.2:80", true},
		{ssh, event.KindAccept, 7, "10.0.0.1:23", "10.0.0.2:22", false},
		{ssh, event.KindBind, 0, "0.0.0.0:22", "", true},
		{ssh, event.KindBind, 0, "0.0.0.0:21", "", false},
		{ssh, event.KindSetsockopt, 0, "0.0.0.0:0", "", false}, // no address yet
		{"fd.rport=22", event.KindListen, 0, "0.0.0.0:22", "", false},
		{"fd.sport < 1024", event.KindConnect, 0, "10.0.0.1:40000", "10.0.0.2:1023", true},
		{"fd.sport < 1024", event.KindConnect, 0, "10.0.0.1:40000", "10.0.0.2:1024", false},
		{"fd.sport >= 65535", event.KindConnect, 0, "10.0.0.1:40000", "10.0.0.2:65535", true},
		{"fd.sport > 65535", event.KindConnect, 0, "10.0.0.1:40000", "10.0.0.2:65535", false},
		{"fd.sport=ssh", event.KindConnect, 0, "10.0.0.1:40000", "10.0.0.2:80", true}, // a name
		{"fd.proto=22", event.KindConnect, 0, "10.0.0.1:40000", "10.0.0.2:22", true},
		{"fd.port=22", event.KindConnect, 0, "10.0.0.1:22", "10.0.0.2:80", true},
		{"fd.port!=22", event.KindConnect, 0, "10.0.0.1:22", "10.0.0.2:80", false},
		{"fd.port!=22", event.KindConnect, 0, "10.0.0.1:23", "10.0.0.2:80", true},
		{outside, event.KindConnect, 0, "10.0.0.1:40000", "8.8.8.8:80", true},
		{outside, event.KindConnect, 0, "10.0.0.1:40000", "192.168.1.1:80", false},
		{outside, event.KindConnect, 0, "127.0.0.1:40000", "127.0.0.1:80", false},
		{outside, event.KindConnect, 0, "0.0.0.0:40000", "8.8.8.8:80", true}, // a client without an address
		{outside, event.KindAccept, 7, "8.8.8.8:80", "0.0.0.0:40000", false},
		{"fd.sip.name=example.com", event.KindConnect, 0, "10.0.0.1:40000", "8.8.8.8:80", true},
		{"fd.sip=8.8.8.8 or fd.sip.name=example.com", event.KindConnect, 0, "10.0.0.1:40000", "8.8.4.4:80", true},
		{"fd.sip=8.8.8.8 and fd.sport=53", event.KindConnect, 0, "10.0.0.1:40000", "8.8.8.8:80", false},
		{"(fd.sip=8.8.8.8 or evt.rawres < 0)", event.KindConnect, 0, "10.0.0.1:40000", "8.8.4.4:80", true},
	} {
		a, err := NewAddresses(load(t, "evt.type="+tt.kind.String()+" and "+tt.condition))
		if err != nil {
			t.Fatal(err)
		}
		var f *event.FileInfo
		if tt.local != "" {
			var role event.FileFlags
			if tt.kind == event.KindAccept || tt.kind == event.KindAccept4 {
				role = event.FileServer
			}
			f = connection(t, tt.local, tt.remote, role)
		}
		if got := a == nil || a.rules(tt.kind, tt.res, f).Has(0); got != tt.want {
			t.Errorf("%s: %s (%d) from %s to %s is needed: %v, want %v", tt.condition, tt.kind, tt.res, tt.local, tt.remote, got, tt.want)
		}
	}
}

// Only rules about the addresses of sockets make the probe look at them.
func TestAddressesAreAskedFor(t *testing.T) {
	for condition, want := range map[string]bool{
		"evt.type=connect and fd.sport=22": true, "evt.type=connect": false, "evt.type=openat and fd.sport=22": false,
		"evt.type=connect and fd.sport=ssh": true, "evt.type=connect and (fd.sport=22 or proc.name=a)": false, "fd.sport=22": true,
		"evt.type in (connect, sendto) and (evt.type=sendto or fd.sport=22)": false,
	} {
		a, err := NewAddresses(load(t, condition))
		if err != nil || (a != nil) != want {
			t.Errorf("%s: asks for addresses: %v, want %v; %v", condition, a != nil, want, err)
		}
		if a != nil && (!a.Kinds.Has(event.KindConnect) || a.Kinds.Has(event.KindOpenat)) {
			t.Errorf("%s: of kinds %v", condition, a.Kinds)
		}
	}
}

// More sets of ports than there is room for, and more addresses than can be
// worked out.
func TestManyAddresses(t *testing.T) {
	const ports = 512 // rule i asks for those with bit i
	var conditions []string
	for i := range 9 {
		var asked []string
		for port := range ports {
			if port&(1<<i) != 0 {
				asked = append(asked, fmt.Sprint(port))
			}
		}
		conditions = append(conditions, "evt.type=connect and fd.sport in ("+strings.Join(asked, ", ")+")")
	}
	a, err := NewAddresses(load(t, conditions...))
	if err != nil {
		t.Fatal(err)
	}
	if len(a.PortRules) != maxPortRules {
		t.Fatalf("%d sets of rules by port", len(a.PortRules))
	}
	for port := 1; port < ports; port++ {
		can := a.rules(event.KindConnect, 0, connection(t, "10.0.0.1:40000", fmt.Sprintf("10.0.0.2:%d", port), 0))
		for i := range conditions {
			if port&(1<<i) != 0 && !can.Has(i) {
				t.Errorf("rule %d cannot match at port %d", i, port)
			}
		}
	}
	many := make([]string, maxNetworks+1)
	for i := range many {
		many[i] = fmt.Sprintf("10.0.%d.%d", i/256, i%256)
	}
	if a, err := NewAddresses(load(t, "evt.type=connect and fd.sip in ("+strings.Join(many, ", ")+")")); err == nil || a != nil {
		t.Errorf("%d addresses: no error", len(many))
	}
	if a, err := NewAddresses(load(t, "evt.type=connect and fd.sip in ("+strings.Join(many[:10000], ", ")+")")); err != nil || len(a.Networks) != 10000+len(everyNetwork) {
		t.Errorf("10,000 addresses: %v", err)
	}
}

// Every rule that a call matches is among those that its addresses leave, however
// many rules there are.
func TestAddressesAreSound(t *testing.T) {
	w := fieldtest.New(t, fieldtest.Proc{PID: 14, Comm: "a"})
	checks := slices.DeleteFunc(checks(), func(s string) bool { return !strings.HasPrefix(s, "fd.") })
	rapid.Check(t, func(rt *rapid.T) {
		kind := rapid.SampledFrom(socketKinds).Draw(rt, "kind")
		var conditions []string
		for range 3 {
			conditions = append(conditions, conditionsOver(checks, 2).Draw(rt, "condition"))
		}
		list := load(t, conditions...)
		a, err := NewAddresses(list)
		if err != nil {
			rt.Fatal(err)
		}
		compiler := filter.NewCompiler(field.Lookup)
		for range 8 {
			c, _ := call(rt, t, w, kind)
			f := &event.FileInfo{}
			if !c.Event.FileInfo(c.Event.Info().File, f) {
				f = nil
			}
			for i, rule := range list {
				matches, err := compiler.Compile(filter.Specialise(rule.Node, kind, 0))
				if err != nil {
					rt.Fatal(err)
				}
				if a != nil && matches(c) && !a.rules(kind, c.Event.Header().Res, f).Has(BitOf(i, len(list))) {
					rt.Fatalf("%s is true of a %s that its addresses leave out: %+v", rule.Condition, kind, f)
				}
			}
		}
	})
}
