package plan

import (
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
	"github.com/peregrine-sec/peregrine/test/support/fieldtest"
)

func TestSockets(t *testing.T) {
	const ok, tcp, udp, connected, loopback = event.SocketSuccess, event.SocketTcp, event.SocketUdp, event.SocketConnected, event.SocketLoopback
	const datagram = "evt.type in (sendto, recvfrom) and fd.l4proto != tcp and fd.connected=false and fd.name_changed=true"
	const outside = "evt.type=connect and fd.typechar in (4, 6) and fd.ip != \"0.0.0.0\" and not fd.net = \"127.0.0.0/8\" and (evt.rawres >= 0 or evt.res = EINPROGRESS)"
	for _, tt := range []struct {
		condition string
		kind      event.Kind
		facts     event.SocketFacts
		name      string
		want      bool
	}{
		{datagram, event.KindSendto, ok | tcp | connected, "", false},
		{datagram, event.KindSendto, ok | udp | connected, "", false},
		{datagram, event.KindSendto, ok | udp, "", true},
		{datagram, event.KindSendto, udp, "", false},
		{datagram, event.KindSendto, ok | event.SocketUnix, "", false},
		{datagram, event.KindSendto, ok, "", true}, // nothing is known
		{datagram, event.KindConnect, ok | udp, "", false},
		{datagram, event.KindSocket, ok | udp, "", true}, // not a kind that is looked at
		{outside, event.KindConnect, ok | tcp | connected, "", true},
		{outside, event.KindConnect, ok | tcp | connected | loopback, "", false},
		{outside, event.KindConnect, tcp, "", true}, // may be EINPROGRESS
		{outside, event.KindConnect, ok | event.SocketUnix, "", false},
		{outside + " and proc.name in (a, b)", event.KindConnect, ok | tcp, "a", true},
		{outside + " and proc.name in (a, b)", event.KindConnect, ok | tcp, "c", false},
		{outside + " and proc.name in (a, b)", event.KindConnect, ok | tcp | loopback, "a", false},
		{outside + " and proc.name in (a, b)", event.KindSendto, ok | udp, "a", false},
		{"evt.type=sendto and fd.sport=53", event.KindSendto, ok | tcp, "", true},
		{"proc.name=a", event.KindSendto, ok | tcp, "a", true},
		{"proc.name=a", event.KindSendto, ok | tcp, "b", false},
		{"evt.type=accept and fd.typechar=4", event.KindAccept, 0, "", true}, // Falco's guess
		{"evt.type=sendto and not fd.net in (10.0.0.0/8, 127.0.0.0/8)", event.KindSendto, ok | tcp | loopback, "", false},
		{"evt.type=sendto and fd.net in (10.0.0.0/8, 192.168.0.0/16)", event.KindSendto, ok | tcp | loopback, "", false},
		{"evt.type=sendto and fd.net in (127.0.0.1/32)", event.KindSendto, ok | tcp | loopback, "", true},
		{"evt.type=sendto and fd.sip=1.2.3.4", event.KindSendto, ok | tcp | loopback, "", false},
		{"evt.type=sendto and fd.sip=127.0.0.1", event.KindSendto, ok | tcp | loopback, "", true},
	} {
		if got := NewSockets(load(t, tt.condition)).needed(tt.kind, tt.facts, tt.name); got != tt.want {
			t.Errorf("%s: %s with facts %#x by %q is needed: %v, want %v", tt.condition, tt.kind, tt.facts, tt.name, got, tt.want)
		}
	}
}

// State does not depend on the events left out.
func TestSocketKindsChangeNoState(t *testing.T) {
	for _, k := range socketKinds {
		if info := k.Info(); info.Traits&event.ModifiesState != 0 || info.File < 0 || info.Family != event.FamilySocket && info.Family != event.FamilyMessage {
			t.Errorf("%s: %+v", k, info)
		}
	}
}

// A call that a condition is true of is needed, whatever the condition.
func TestSocketsAreSound(t *testing.T) {
	w := fieldtest.New(t, fieldtest.Proc{PID: 14, Comm: "a"})
	compiler := filter.NewCompiler(field.Lookup)
	rapid.Check(t, func(rt *rapid.T) {
		kind := rapid.SampledFrom(socketKinds).Draw(rt, "kind")
		rule := load(t, conditions(2).Draw(rt, "condition"))[0]
		matches, err := compiler.Compile(filter.Specialise(rule.Node, kind, 0))
		if err != nil {
			rt.Fatal(err)
		}
		sockets := NewSockets(load(t, rule.Condition))
		alone, err := NewAlone(rule)
		if err != nil {
			rt.Fatal(err)
		}
		for range 8 {
			c, facts := call(rt, t, w, kind)
			if matches(c) && (!sockets.needed(kind, facts, "a") || Bits(sockets.Rules[kind][facts]).Empty()) {
				rt.Fatalf("%s is true of a %s that is left out by facts %#x", rule.Condition, kind, facts)
			}
			if matches(c) && !alone.Sends(c.Event, c.Proc) {
				rt.Fatalf("%s is true of a %s that is not told to be sent, with facts %#x", rule.Condition, kind, facts)
			}
		}
	})
}

// conditions draws conditions over fields that the probe knows, and some that
// it does not.
func conditions(depth int) *rapid.Generator[string] { return conditionsOver(checks(), depth) }

// conditionsOver draws conditions that are made of the given checks.
func conditionsOver(checks []string, depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		if depth > 0 {
			a, b := conditionsOver(checks, depth-1), conditionsOver(checks, depth-1)
			switch rapid.IntRange(0, 3).Draw(t, "form") {
			case 0:
				return "(" + a.Draw(t, "a") + " and " + b.Draw(t, "b") + ")"
			case 1:
				return "(" + a.Draw(t, "a") + " or " + b.Draw(t, "b") + ")"
			case 2:
				return "not " + a.Draw(t, "a")
			}
		}
		return rapid.SampledFrom(checks).Draw(t, "check")
	})
}

// checks are comparisons of every field that the probe knows with telling
// values.
func checks() (all []string) {
	for _, values := range [][]string{
		{"evt.failed", "true", "false"}, {"evt.rawres", "0", "-1", "5"}, {"evt.res", "SUCCESS", "EAGAIN"}, {"fd.num", "0", "-1"},
		{"fd.l4proto", "tcp", "udp", "icmp", "<NA>"}, {"fd.sockfamily", "ip", "unix"}, {"fd.connected", "true", "false"},
		{"fd.name_changed", "true", "false"}, {"fd.type", "ipv4", "ipv6", "unix", "file"}, {"fd.typechar", "4", "6", "u", "f"},
		{"proc.name", "a", "b"}, {"fd.is_server", "true", "false"}, {"fd.sport", "53", "80"},
	} {
		for _, v := range values[1:] {
			all = append(all, values[0]+" = \""+v+"\"", values[0]+" != \""+v+"\"")
		}
	}
	for _, name := range []string{"fd.l4proto", "fd.type", "fd.typechar"} {
		all = append(all, name+" in (tcp, ipv4, 4)", name+" in (udp, ipv4, ipv6, 4, 6)", name+" in (u, unix)")
	}
	for _, end := range []string{"", "c", "s", "l", "r"} {
		for _, op := range []string{"=", "!=", "<", "<=", ">", ">="} {
			all = append(all, "fd."+end+"port "+op+" 53", "fd."+end+"port "+op+" 80")
		}
		all = append(all, "fd."+end+"port in (53, 1)", "fd."+end+"port in (0, 80)")
		for _, v := range []string{"127.0.0.1", "0.0.0.0", "10.0.0.1", "::1"} {
			all = append(all, "fd."+end+"ip = \""+v+"\"", "fd."+end+"ip != \""+v+"\"")
		}
		for _, v := range []string{"127.0.0.0/8", "127.0.0.0/16", "0.0.0.0/0", "10.0.0.0/8", "::/0"} {
			all = append(all, "fd."+end+"net = \""+v+"\"", "fd."+end+"net != \""+v+"\"", "fd."+end+"net in (\""+v+"\", \"10.0.0.0/8\")")
		}
	}
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

// call draws a call on a socket, and the probe's facts about it (socket_facts
// in probe/bpf/socketfilter.h).
func call(rt *rapid.T, t *testing.T, w *fieldtest.World, kind event.Kind) (*field.Context, event.SocketFacts) {
	draw := func(name string, n int) int { return rapid.IntRange(0, n-1).Draw(rt, name) }
	res := []int64{0, 7, -11, -115}[draw("res", 4)]
	var facts event.SocketFacts
	if res >= 0 {
		facts |= event.SocketSuccess
	}
	number := fieldtest.Num("res", res)
	if kind.Info().Traits&event.CreatesFD != 0 {
		number = fieldtest.Num("fd", res)
		if res < 0 {
			return w.Event(t, 14, kind, number), facts
		}
	}
	file := event.FileInfo{Type: []event.FDType{event.FDIPv4, event.FDIPv6, event.FDUnix, event.FDNetlink, event.FDFile}[draw("type", 5)]}
	if draw("connected", 2) == 0 {
		file.Flags |= event.FileConnected
		facts |= event.SocketConnected
	}
	var data string
	switch file.Type {
	case event.FDUnix:
		facts |= event.SocketUnix
	case event.FDIPv4, event.FDIPv6:
		addrs := []string{"127.0.0.1", "127.9.8.7", "10.0.0.1", "0.0.0.0"}
		if file.Type == event.FDIPv6 {
			addrs = []string{"::1", "::", "fe80::1", "2001:db8::1"}
		}
		local, remote := netip.MustParseAddr(addrs[draw("local", 4)]), netip.MustParseAddr(addrs[draw("remote", 4)])
		file.L4Proto = []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_ICMP}[draw("protocol", 3)]
		file.SPort, file.DPort = []uint16{0, 53}[draw("sport", 2)], []uint16{0, 80}[draw("dport", 2)]
		file.Flags |= []event.FileFlags{0, event.FileServer, event.FileClient}[draw("role", 3)]
		data = string(append(local.AsSlice(), remote.AsSlice()...))
		facts |= map[uint8]event.SocketFacts{unix.IPPROTO_TCP: event.SocketTcp, unix.IPPROTO_UDP: event.SocketUdp}[file.L4Proto]
		if loopback.Contains(local) && loopback.Contains(remote) && file.DPort != 0 {
			facts |= event.SocketLoopback
		}
	default: // connected is a word of sockets
		file.Flags &^= event.FileConnected
		facts &^= event.SocketConnected
	}
	return w.Event(t, 14, kind, number, fieldtest.File(file, data)), facts
}
