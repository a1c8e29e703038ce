package filter

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// How long the addresses of a host count, and an attempt to find them may
// take.
const (
	hostLifetime = uint64(time.Minute)
	hostTimeout  = 5 * time.Second
)

// host is the name of a host in a rule (fd.sip.name = example.com). Its
// addresses are looked up when the rule first needs them, and again when they
// are old, always in the background: until they are known, no address is the
// host's.
type host struct {
	name    string
	resolve func(ctx context.Context, network, name string) ([]netip.Addr, error)
	addrs   atomic.Pointer[[]netip.Addr]
	asked   uint64 // time of the event that asked last
	busy    atomic.Bool
}

// has says whether a is an address of the host, as far as is known at the time
// now, in ns.
func (h *host) has(a netip.Addr, now uint64) bool {
	stale := h.asked == 0 || now > h.asked && now-h.asked > hostLifetime
	if stale && h.busy.CompareAndSwap(false, true) {
		h.asked = max(now, 1)
		go h.look()
	}
	list := h.addrs.Load()
	return list != nil && slices.Contains(*list, a)
}

func (h *host) look() {
	defer h.busy.Store(false)
	ctx, cancel := context.WithTimeout(context.Background(), hostTimeout)
	defer cancel()
	found, err := h.resolve(ctx, "ip", h.name)
	if err != nil {
		return // what was known before still counts
	}
	addrs := make([]netip.Addr, len(found))
	for i, a := range found {
		addrs[i] = a.Unmap()
	}
	h.addrs.Store(&addrs)
}

// hostCheck compiles a check on the name of an address: by the name, where
// there is one, or else by the addresses of the names in the rule. It is nil
// for operators that only names can satisfy.
func (c *Compiler) hostCheck(n *Check, left operand) Predicate {
	switch n.Op {
	case Eq, EqEq, NotEq, In, Intersects:
	default:
		return nil
	}
	if n.Modifier != NoModifier {
		return nil
	}
	var hosts []*host
	for _, v := range n.Values {
		hosts = append(hosts, &host{name: v.Text, resolve: c.resolve})
	}
	negate := n.Op == NotEq
	name, addr := left.Str, left.IP
	return func(ctx *field.Context) bool {
		if s, ok := name(ctx); ok {
			return slices.ContainsFunc(hosts, func(h *host) bool { return h.name == s }) != negate
		}
		a, ok := addr(ctx)
		if !ok {
			return false
		}
		a = a.Unmap()
		found := false
		for _, h := range hosts {
			found = h.has(a, ctx.Time) || found
		}
		return found != negate
	}
}

// systemResolver asks as the system does: /etc/hosts, then DNS.
var systemResolver = net.DefaultResolver.LookupNetIP
