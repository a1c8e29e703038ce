package filter

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// hostTimeout is how long an attempt to find the addresses of a host may take.
const hostTimeout = 5 * time.Second

// Hosts are the names of hosts in conditions (fd.sip.name = example.com). Their
// addresses are those of the last Lookup: no event waits for a resolver. Until
// a name has been found, no address is the host's.
type Hosts struct {
	byName  map[string]*host
	resolve func(ctx context.Context, network, name string) ([]netip.Addr, error)
}

// host is one name, with its addresses.
type host struct {
	name  string
	addrs atomic.Pointer[[]netip.Addr]
}

func newHosts() *Hosts {
	return &Hosts{byName: map[string]*host{}, resolve: net.DefaultResolver.LookupNetIP}
}

func (hs *Hosts) host(name string) *host {
	h := hs.byName[name]
	if h == nil {
		h = &host{name: name}
		hs.byName[name] = h
	}
	return h
}

// Names returns the names, sorted.
func (hs *Hosts) Names() []string { return slices.Sorted(maps.Keys(hs.byName)) }

// Lookup looks all names up, as the system does: /etc/hosts, then DNS. It
// returns the errors by name; a name that fails keeps its earlier addresses. It
// may be called while conditions are evaluated.
func (hs *Hosts) Lookup(ctx context.Context) map[string]error {
	ctx, cancel := context.WithTimeout(ctx, hostTimeout)
	defer cancel()
	var mu sync.Mutex
	failed := map[string]error{}
	var looking sync.WaitGroup
	for _, h := range hs.byName {
		looking.Go(func() {
			if err := h.look(ctx, hs.resolve); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed[h.name] = err
			}
		})
	}
	looking.Wait()
	return failed
}

func (h *host) look(ctx context.Context, resolve func(ctx context.Context, network, name string) ([]netip.Addr, error)) error {
	found, err := resolve(ctx, "ip", h.name)
	if err != nil {
		return err
	}
	addrs := make([]netip.Addr, len(found))
	for i, a := range found {
		addrs[i] = a.Unmap()
	}
	h.addrs.Store(&addrs)
	return nil
}

// has says whether a is an address of the host.
func (h *host) has(a netip.Addr) bool {
	list := h.addrs.Load()
	return list != nil && slices.Contains(*list, a)
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
		hosts = append(hosts, c.hosts.host(v.Text))
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
		return slices.ContainsFunc(hosts, func(h *host) bool { return h.has(a) }) != negate
	}
}
