package probe

import (
	"bytes"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

var (
	noRules  [event.NumEnds][2]uint64
	allEnds  = [event.NumEnds][2]uint64{someRule, someRule, someRule, someRule, someRule}
	loopback = netip.MustParsePrefix("127.0.0.0/8")
)

// toNetworks is the interest in connects for one rule, by the networks that it
// may ask for.
func toNetworks(plan uint32, networks map[netip.Prefix][event.NumEnds][2]uint64) Interest {
	in := masked(event.KindConnect, func(event.CallFacts) bool { return true })
	in.Syscalls, in.Kinds.Plan = ids("connect"), plan
	in.Addresses = &AddressFilter{Networks: networks, PortRules: [][event.NumEnds][2]uint64{allEnds}}
	in.Addresses.Kinds.Add(event.KindConnect)
	// Addresses are looked at once the socket has not decided.
	var sockets [event.NumSocketFacts][2]uint64
	for f := range sockets {
		sockets[f] = someRule
	}
	in.Sockets = &SocketFilter{Always: map[event.Kind]uint64{event.KindConnect: ^uint64(0)}, Rules: map[event.Kind]*[event.NumSocketFacts][2]uint64{event.KindConnect: &sockets}}
	return in
}

// Without memory for the networks of the rules, calls are not judged by those of
// them that have a place: all are sent, and the log says so.
func TestAddressesWithoutRoom(t *testing.T) {
	var log bytes.Buffer
	p := load(t, Options{CPUsPerRing: 1, Log: slog.New(slog.NewTextHandler(&log, nil))})
	everything := netip.MustParsePrefix("0.0.0.0/0")
	const plan, older = 7, 6
	networks := p.coll.Maps["network_rules"]
	fill := func() {
		if err := networks.Put(newNetworkKey(plan, everything), noRules); err != nil {
			t.Fatal(err)
		}
		for i := range networks.MaxEntries() - 1 {
			address := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
			if err := networks.Put(newNetworkKey(older, netip.PrefixFrom(address, 32)), noRules); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tc := range []struct {
		name         string
		full         bool
		rules        [event.NumEnds][2]uint64
		sent, warned bool
	}{
		{"for another rule", false, noRules, thisObject(t) == "oldest", false}, // which has no filter of addresses
		{"for the rule", false, allEnds, true, false},
		{"for the rule, without room", true, allEnds, true, true},
	} {
		if tc.full {
			fill()
		}
		in := toNetworks(plan, map[netip.Prefix][event.NumEnds][2]uint64{everything: noRules, loopback: tc.rules})
		tr := traceInterest(t, p, in, func() {
			to := sockaddr4(loopback4, 9)
			raw(unix.SYS_CONNECT, socket(t, unix.AF_INET, unix.SOCK_DGRAM), ptr(to), len(to))
		})
		if sent := len(tr.of(event.KindConnect, os.Getpid())) > 0; sent != tc.sent {
			t.Errorf("%s: sent %v, want %v", tc.name, sent, tc.sent)
		}
		if warned := strings.Contains(log.String(), "does not filter calls on sockets by address"); warned != tc.warned {
			t.Errorf("%s: warned %v, want %v: %s", tc.name, warned, tc.warned, &log)
		}
	}
}

// While the networks of earlier rules are removed, a call that still looks for
// one finds the smallest or none: it is not judged by another, which may say that
// no rule needs it.
func TestTidyAddressesInOrder(t *testing.T) {
	p := loadOwn(t)
	networks := p.coll.Maps["network_rules"]
	address := netip.MustParseAddr("2001:db8::1")
	for plan := range uint32(20) {
		for bits := range address.BitLen() + 1 {
			network, err := address.Prefix(bits)
			if err == nil {
				err = networks.Put(newNetworkKey(plan+1, network), [event.NumEnds][2]uint64{{uint64(bits)}})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		begun, found := make(chan struct{}), make(chan uint64)
		var tidied atomic.Bool
		go func() {
			smallest := newNetworkKey(plan+1, netip.PrefixFrom(address, address.BitLen()))
			var rules [event.NumEnds][2]uint64
			least := uint64(address.BitLen())
			for looks := 0; !tidied.Load(); looks++ {
				if looks == 1 {
					close(begun)
				}
				if networks.Lookup(smallest, &rules) == nil {
					least = min(least, rules[0][0])
				}
			}
			found <- least
		}()
		<-begun
		err := p.tidyAddresses(nil)
		tidied.Store(true)
		if least := <-found; err != nil || least != uint64(address.BitLen()) {
			t.Fatalf("found a network of %d bits, of %d, while they were removed: %v", least, address.BitLen(), err)
		}
	}
}
