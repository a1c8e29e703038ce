package field

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// socket is an IP socket seen as client and server. Without a remote end only
// one side is set: the server's for one that listens or is bound.
type socket struct {
	client, server         netip.Addr
	clientPort, serverPort uint16
	isServer               bool // the local end is the server
	remote                 bool
}

func socketOf(f *event.FileInfo) socket {
	local, remote := f.Addrs()
	local, remote = local.Unmap(), remote.Unmap()
	connected := f.DPort != 0 || (remote.IsValid() && !remote.IsUnspecified())
	switch {
	case !connected && f.SPort == 0:
		return socket{} // neither bound nor connected
	case !connected:
		return socket{server: local, serverPort: f.SPort, isServer: true}
	case f.Flags&event.FileServer != 0:
		return socket{remote, local, f.DPort, f.SPort, true, true}
	}
	return socket{local, remote, f.SPort, f.DPort, false, true}
}

func (s socket) local() netip.Addr {
	if s.isServer {
		return s.server
	}
	return s.client
}

func (s socket) localPort() uint16 {
	if s.isServer {
		return s.serverPort
	}
	return s.clientPort
}

// ends are the sides of a socket that fields ask for.
type end struct {
	name, what string
	addr       func(socket) (netip.Addr, uint16)
}

var ends = []end{
	{"c", "client", func(s socket) (netip.Addr, uint16) { return s.client, s.clientPort }},
	{"s", "server", func(s socket) (netip.Addr, uint16) { return s.server, s.serverPort }},
	{"l", "local", func(s socket) (netip.Addr, uint16) { return s.local(), s.localPort() }},
	{"r", "remote", func(s socket) (netip.Addr, uint16) {
		switch {
		case !s.remote:
			return netip.Addr{}, 0
		case s.isServer:
			return s.client, s.clientPort
		}
		return s.server, s.serverPort
	}},
}

// ipSocket is the event's descriptor if that is an IP socket.
func (c *Context) ipSocket() (socket, bool) {
	f := c.fileInfo()
	if f == nil || (f.Type != event.FDIPv4 && f.Type != event.FDIPv6) {
		return socket{}, false
	}
	return socketOf(f), true
}

func socketFields() []Field {
	fields := []Field{
		eachAddr("fd.ip", IPAddr, "Address of either end of the socket; != holds only if both differ."),
		eachPort("fd.port", "Port of either end of the socket; != holds only if both differ."),
		eachPort("fd.proto", "As fd.port; services may be given by name, as in fd.proto=http."),
		eachAddr("fd.net", IPNet, "Network of either end of the socket, as in fd.net=10.0.0.0/8; != holds only if both differ."),
		str("fd.l4proto", AtEvent, "Protocol of the socket: tcp, udp, icmp, raw; <NA> for other descriptors.", func(c *Context) (string, bool) {
			f := c.fileInfo()
			if f == nil {
				return "", false
			}
			return l4proto(f), true
		}).inKernel(),
		str("fd.sockfamily", AtEvent, "Family of the socket: ip or unix.", func(c *Context) (string, bool) {
			f := c.fileInfo()
			switch {
			case f == nil:
			case f.Type == event.FDIPv4 || f.Type == event.FDIPv6:
				return "ip", true
			case f.Type == event.FDUnix:
				return "unix", true
			}
			return "", false
		}).inKernel(),
		boolean("fd.is_server", AtEvent, "True if the process is the server of the socket.", func(c *Context) (uint64, bool) {
			s, _ := c.ipSocket()
			return b2u(s.isServer), c.fileInfo() != nil
		}),
		fileFlag("fd.connected", "True for sockets that are connected, unless a datagram is sent to another address.", event.FileConnected).inKernel(),
	}
	for _, e := range ends {
		fields = append(fields, ofEnd(e)...)
	}
	return fields
}

// ofEnd are the fields of one end: fd.sip, fd.sport, fd.sproto, fd.snet,
// fd.sip.name.
func ofEnd(e end) []Field {
	addr := func(c *Context) (netip.Addr, bool) {
		s, ok := c.ipSocket()
		if !ok {
			return netip.Addr{}, false
		}
		a, _ := e.addr(s)
		return a, a.IsValid()
	}
	port := func(c *Context) (uint64, bool) {
		s, ok := c.ipSocket()
		if !ok {
			return 0, false
		}
		a, port := e.addr(s)
		return uint64(port), a.IsValid()
	}
	return []Field{
		address("fd."+e.name+"ip", IPAddr, "Address of the "+e.what+" end of the socket.", addr).inKernel(),
		unsigned("fd."+e.name+"port", Port, AtEvent, "Port of the "+e.what+" end of the socket.", port).inKernel(),
		str("fd."+e.name+"proto", AtEvent, "Service name of the "+e.what+" end's port, or its number.", func(c *Context) (string, bool) {
			n, ok := port(c)
			if !ok {
				return "", false
			}
			return c.service(uint16(n)), true
		}),
		address("fd."+e.name+"net", IPNet, "Network of the "+e.what+" end of the socket, as in fd."+e.name+"net=10.0.0.0/8.", addr).with(FilterOnly | NoRHS | NoTransformer).inKernel(),
		fixed("fd."+e.name+"ip.name", AtEvent, "Domain name of the "+e.what+" end of the socket: a condition compares the address with those of its name.", Extractor{
			Type: String, IP: addr, Str: func(*Context) (string, bool) { return "", false },
		}).with(NoRHS | NoTransformer),
	}
}

func eachAddr(name string, t Type, doc string) Field {
	return fixed(name, AtEvent, doc, Extractor{Type: t, Match: Ends, EachIP: func(c *Context, yield func(netip.Addr) bool) bool {
		s, ok := c.ipSocket()
		if !ok {
			return false
		}
		if s.server.IsValid() && !yield(s.server) {
			return true
		}
		// A datagram from a socket that is not bound has no address of this
		// end before the route is known: 0.0.0.0 is nobody.
		if s.client.IsValid() && (s.isServer || !s.client.IsUnspecified()) {
			yield(s.client)
		}
		return s.server.IsValid() || s.client.IsValid()
	}}).with(FilterOnly | NoRHS | NoTransformer).inKernel()
}

func eachPort(name, doc string) Field {
	return fixed(name, AtEvent, doc, Extractor{Type: Port, Match: Ends, EachUint: func(c *Context, yield func(uint64) bool) bool {
		s, ok := c.ipSocket()
		if !ok || !s.server.IsValid() {
			return false
		}
		if yield(uint64(s.serverPort)) && s.remote {
			yield(uint64(s.clientPort))
		}
		return true
	}}).with(FilterOnly | NoRHS | NoTransformer).inKernel()
}

func l4proto(f *event.FileInfo) string {
	if f.Type != event.FDIPv4 && f.Type != event.FDIPv6 {
		return na
	}
	switch f.L4Proto {
	case unix.IPPROTO_TCP:
		return "tcp"
	case unix.IPPROTO_UDP:
		return "udp"
	case unix.IPPROTO_ICMP:
		return "icmp"
	case unix.IPPROTO_RAW:
		return "raw"
	}
	return na
}
