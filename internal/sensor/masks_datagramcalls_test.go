package sensor

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

func init() { acts["datagrams"] = func(a []string) error { return datagramCalls(a[0], a[1]) } }

// datagrammer sends and receives datagrams at random, in a network of its own.
type datagrammer struct{ networker }

// datagramCalls makes n calls that are drawn by a seed.
func datagramCalls(seed, n string) error {
	r, count, err := drawn(seed, n)
	if err != nil {
		return err
	}
	if err := newNetwork(); err != nil {
		return err
	}
	d := &datagrammer{networker{socketPool: socketPool{Rand: r}}}
	for range 6 {
		d.open()
	}
	for range count {
		datagramActs[d.IntN(len(datagramActs))](d)
	}
	return nil
}

var datagramActs = []func(d *datagrammer){
	(*datagrammer).open,
	(*datagrammer).send, (*datagrammer).send, (*datagrammer).send, (*datagrammer).send,
	(*datagrammer).receive, (*datagrammer).receive, (*datagrammer).receive,
	func(d *datagrammer) {
		a := d.address()
		connectTo(d.some(), a.address)
	},
	func(d *datagrammer) { connectRaw(d.some(), make([]byte, unix.SizeofSockaddrInet4)) },
	func(d *datagrammer) { unix.SetsockoptInt(d.some(), unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1) },
}

// open makes a socket, bound or not.
func (d *datagrammer) open() {
	family := []int{unix.AF_INET, unix.AF_INET6}[d.IntN(2)]
	kind, protocol := unix.SOCK_DGRAM, 0
	switch d.IntN(10) {
	case 0:
		kind, protocol = unix.SOCK_RAW, unix.IPPROTO_UDP
	case 1:
		kind = unix.SOCK_STREAM
	case 2:
		protocol = unix.IPPROTO_UDPLITE
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return
	}
	d.keep(fd)
	if family == unix.AF_INET6 && d.IntN(4) == 0 {
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	if d.IntN(3) == 0 {
		return
	}
	unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	hosts := []string{"127.0.0.1", "0.0.0.0", ownAddress}
	if family == unix.AF_INET6 {
		hosts = append(hosts, "[::]", "[::]", "[::1]")
	}
	unix.Bind(fd, sockaddr(family, d.pick(hosts...)+":"+d.pick("53", "2222", "0")))
}

// address is one that a message names, or room for one.
func (d *datagrammer) address() *message {
	_, at := d.peer()
	to := netip.MustParseAddrPort(at)
	family := uint16(unix.AF_INET)
	switch {
	case to.Addr().Is6():
		family = unix.AF_INET6
	case d.IntN(2) == 0:
		family, to = unix.AF_INET6, netip.AddrPortFrom(netip.AddrFrom16(to.Addr().As16()), to.Port())
	}
	m := &message{address: rawSockaddr(family, to), flags: unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL}
	switch d.IntN(12) {
	case 0:
		m.address = nil
	case 1:
		m.address = rawSockaddr([]uint16{unix.AF_UNSPEC, unix.AF_INET, unix.AF_INET6, unix.AF_UNIX}[d.IntN(4)], to)
	case 2:
		m.address = m.address[:d.IntN(len(m.address))]
	case 3:
		m.at = 8
	}
	return m
}

func (d *datagrammer) send() {
	m := d.address()
	if d.IntN(20) == 0 {
		m.flags |= unix.MSG_FASTOPEN
	}
	messageCalls[d.pick(sendKinds...)](d.some(), m, d.address())
}

func (d *datagrammer) receive() {
	messageCalls[d.pick(receiveKinds...)](d.some(), d.address(), d.address())
}
