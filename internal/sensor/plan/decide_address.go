package plan

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
)

// noEnd is the end of a descriptor without addresses.
const noEnd = event.NumEnds

// endLetters are those of the fields that read an end, as the s of fd.sip.
var endLetters = [...]string{event.EndLocalClient: "cl", event.EndLocalServer: "sl", event.EndLocalAlone: "sl", event.EndRemoteServer: "sr", event.EndRemoteClient: "cr", noEnd: ""}

// addressField says of a field whether it is an address, or a port, of an end; its
// letter is "" for those of either end.
func addressField(name string) (letter string, port, ok bool) {
	name, ok = strings.CutPrefix(name, "fd.")
	if !ok {
		return "", false, false
	}
	if name == "proto" { // the others are names of services
		return "", true, true
	}
	for _, kind := range []string{"ip", "net", "port"} {
		letter, found := strings.CutSuffix(name, kind)
		if found && (letter == "" || len(letter) == 1 && strings.ContainsAny(letter, "cslr")) {
			return letter, kind == "port", true
		}
	}
	return "", false, false
}

// constants are what a check on addresses or ports compares with.
type constants struct {
	networks map[netip.Prefix]bool
	lengths  []int // of networks
	ports    []int
}

// addressChecks has what is known of checks; nil for those with constants of
// another form.
type addressChecks map[*filter.Check]*constants

// of reads the constants of a check on a field of ports or addresses; nil if one
// is something else, such as the name of a service.
func (a addressChecks) of(c *filter.Check, port bool) *constants {
	if k, known := a[c]; known {
		return k
	}
	k := &constants{networks: map[netip.Prefix]bool{}}
	for _, text := range texts(c) {
		if port {
			n, err := strconv.ParseUint(text, 10, 16)
			if err != nil {
				k = nil
				break
			}
			k.ports = append(k.ports, int(n))
			continue
		}
		network, ok := parseNetwork(text)
		if !ok {
			k = nil
			break
		}
		k.networks[network] = true
		if !slices.Contains(k.lengths, network.Bits()) {
			k.lengths = append(k.lengths, network.Bits())
		}
	}
	a[c] = k
	return k
}

// has says whether a network is within one of the constants.
func (k *constants) has(p netip.Prefix) bool {
	for _, n := range k.lengths {
		if n > p.Bits() {
			continue
		}
		if larger, err := p.Addr().Prefix(n); err == nil && k.networks[larger] {
			return true
		}
	}
	return false
}

// compare applies the operator of a check to a port; false if it is another.
func (k *constants) compare(op filter.Op, port int) (value, known bool) {
	if op == filter.In || op == filter.Intersects {
		return slices.Contains(k.ports, port), true
	}
	if len(k.ports) != 1 {
		return false, false
	}
	switch n := k.ports[0]; op {
	case filter.Eq, filter.EqEq:
		return port == n, true
	case filter.NotEq:
		return port != n, true
	case filter.Less:
		return port < n, true
	case filter.LessEq:
		return port <= n, true
	case filter.Greater:
		return port > n, true
	case filter.GreaterEq:
		return port >= n, true
	}
	return false, false
}

// endCall is a call on an IP socket of which one end is known: its address, which
// is in a network and in no smaller one that a condition names, or else its port.
type endCall struct {
	pathless
	checks  addressChecks
	end     int
	network netip.Prefix // not valid: port counts
	port    int
}

func (e endCall) decide(f *filter.Field, c *filter.Check) (value, known bool) {
	letter, port, ok := addressField(f.Name)
	if !ok || c.Op == filter.Exists {
		return false, false
	}
	switch {
	case e.end == noEnd, e.end == event.EndLocalAlone && (letter == "c" || letter == "r"):
		return false, true // there is no such end, of which nothing is true
	case letter != "" && !strings.Contains(endLetters[e.end], letter), port == e.network.IsValid():
		return false, false
	}
	value, known = e.test(c, port)
	if !known || letter != "" || e.end == event.EndLocalAlone {
		return value, known
	}
	// Of both ends some must have the value, or none with !=. A client without an
	// address does not count.
	if e.end == event.EndLocalClient && !port && e.network.IsSingleIP() && e.network.Addr().IsUnspecified() {
		return false, false
	}
	return value, value != (c.Op == filter.NotEq)
}

// test applies a check to the end's address or port.
func (e endCall) test(c *filter.Check, port bool) (value, known bool) {
	k := e.checks.of(c, port)
	switch {
	case k == nil:
		return false, false
	case port:
		return k.compare(c.Op, e.port)
	}
	switch c.Op {
	case filter.In, filter.Intersects:
		return k.has(e.network), true
	case filter.Eq, filter.EqEq, filter.NotEq:
		return k.has(e.network) != (c.Op == filter.NotEq), len(c.Values) == 1
	}
	return false, false
}
