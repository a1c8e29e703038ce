package sensor

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	acts["exchange"] = func(a []string) error { return exchangeLoop(a[0], a[1], "") }
	acts["beside"] = func(a []string) error { return exchangeLoop(a[0], a[1], "127.0.0.1:7") }
	acts["flip"] = func(a []string) error { return flipAddresses(a[0], a[1]) }
}

// exchangeLoop sends itself n datagrams, from a socket that is not bound, but may
// be connected to another address, to one that is.
func exchangeLoop(at, n, connected string) error {
	count, err := strconv.Atoi(n)
	if err != nil {
		return err
	}
	if err := newNetwork(); err != nil {
		return err
	}
	to := sockaddr(familyOf(at), at)
	server, err := boundSocket(familyOf(at), to)
	if err != nil {
		return err
	}
	client, err := unix.Socket(familyOf(at), unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	if connected != "" {
		if err := unix.Connect(client, sockaddr(familyOf(at), connected)); err != nil {
			return err
		}
	}
	for range count {
		if err := unix.Sendto(client, []byte("x"), 0, to); err != nil {
			return err
		}
		if _, _, err := unix.Recvfrom(server, make([]byte, 1), 0); err != nil {
			return err
		}
	}
	return nil
}

func boundSocket(family int, at unix.Sockaddr) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_DGRAM, 0)
	if err != nil {
		return -1, err
	}
	return fd, unix.Bind(fd, at)
}

// flipAddresses makes calls of a kind while another thread changes the address in
// their memory, until each of two was there n times.
func flipAddresses(kind, n string) error {
	count, err := strconv.Atoi(n)
	if err != nil {
		return err
	}
	if err := newNetwork(); err != nil {
		return err
	}
	at := sockaddr(unix.AF_INET, "127.0.0.1:53")
	fd, err := boundSocket(unix.AF_INET, at)
	if err != nil {
		return err
	}
	addresses := [2]uint64{firstWord("127.0.0.1:53"), firstWord(ownAddress + ":53")}
	memory := [2]uint64{addresses[0]}
	m := &message{address: unsafe.Slice((*byte)(unsafe.Pointer(&memory)), unix.SizeofSockaddrInet4), flags: unix.MSG_DONTWAIT}
	cpus := ownCPUs()
	if err := pin(cpus, 0); err != nil {
		return err
	}
	var done atomic.Bool
	go func() {
		runtime.LockOSThread()
		pin(cpus, 1)
		for !done.Load() {
			for _, a := range addresses {
				atomic.StoreUint64(&memory[0], a)
			}
		}
	}()
	call, receives := messageCalls[kind], strings.HasPrefix(kind, "recv")
	for seen := (map[uint64]int{}); seen[addresses[0]] < count || seen[addresses[1]] < count; seen[atomic.LoadUint64(&memory[0])]++ {
		if receives {
			if err := unix.Sendto(fd, []byte("x"), 0, at); err != nil {
				return err
			}
		}
		if errno := call(fd, m, &message{}); errno != 0 {
			return errno
		}
	}
	done.Store(true)
	return nil
}

// pin keeps the thread on one of the CPUs, so that two threads run at the same time
// if there are two.
func pin(cpus []int, i int) error {
	var one unix.CPUSet
	one.Set(cpus[i%len(cpus)])
	return unix.SchedSetaffinity(0, &one)
}

// ownCPUs are those that the thread may use.
func ownCPUs() (cpus []int) {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return []int{0}
	}
	for cpu := range len(set) * bits.UintSize {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}

// firstWord has family, port and address of a socket's address for IPv4.
func firstWord(at string) uint64 {
	return binary.NativeEndian.Uint64(rawSockaddr(unix.AF_INET, netip.MustParseAddrPort(at)))
}
