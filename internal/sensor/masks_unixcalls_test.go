package sensor

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() {
	acts["unix"] = func(a []string) error { return unixCalls(a[0], a[1], a[2]) }
	acts["unix-connect"] = func(a []string) error { return unixConnects(a[0], a[1]) }
	acts["unix-swap"] = func(a []string) error { return unixSwaps(a[0], a[1]) }
}

// unixer makes calls on unix sockets at random, in a directory of its own.
type unixer struct {
	socketPool
	dir string
}

// unixCalls makes n calls in dir that are drawn by a seed.
func unixCalls(dir, seed, n string) error {
	s, err := strconv.ParseUint(seed, 10, 64)
	if err != nil {
		return err
	}
	count, err := strconv.Atoi(n)
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil { // abstract names are the network's
		return fmt.Errorf("make a network namespace: %w", err)
	}
	if err := os.Chdir(dir); err != nil {
		return err
	}
	u := &unixer{socketPool: socketPool{Rand: rand.New(rand.NewPCG(s, 1))}, dir: dir}
	for range count {
		unixActs[u.IntN(len(unixActs))](u)
	}
	return nil
}

// fullName fills all of an address, with the NUL that is not there.
var fullName = strings.Repeat("./", (unixPathMax-4)/2) + "long"

const unixPathMax = 108

// address is a sockaddr_un: of a path, abstract, without a name, of all its bytes
// or of too many.
func (u *unixer) address() []byte {
	names := []string{
		"docker.sock\x00", "./docker.sock\x00", u.dir + "/docker.sock\x00", u.dir + "/docker.sock\x00", "sub//x.sock\x00", "x.sock", "x.sock\x00behind",
		"\x00abstract", "\x00docker.sock", "\x00a\x00b", "\x00a\x00\x00", "\x00", "", fullName, fullName + "er", "missing/x\x00", strings.Repeat("x", 300),
	}
	return unixAddress(names[u.IntN(len(names))])
}

func unixAddress(name string) []byte { return append([]byte{unix.AF_UNIX, 0}, name...) }

// call is a syscall on a socket and an address.
func (u *unixer) call(nr uintptr, fd int, to []byte) (int, unix.Errno) {
	n, _, err := unix.Syscall(nr, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(to))), uintptr(len(to)))
	return int(n), err
}

func (u *unixer) keep(fd int, err error) {
	if err == nil {
		u.socketPool.keep(fd)
	}
}

func (u *unixer) socket() {
	kind := []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_SEQPACKET}[u.IntN(3)]
	u.keep(unix.Socket(unix.AF_UNIX, kind|unix.SOCK_NONBLOCK, 0))
}

func (u *unixer) send() {
	to := u.address()
	if u.IntN(3) == 0 {
		to = nil
	}
	data := []byte("x")
	if u.IntN(2) == 0 {
		unix.Syscall6(unix.SYS_SENDTO, uintptr(u.some()), uintptr(unsafe.Pointer(&data[0])), 1, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL,
			uintptr(unsafe.Pointer(unsafe.SliceData(to))), uintptr(len(to)))
		return
	}
	m := unix.Msghdr{Name: unsafe.SliceData(to), Namelen: uint32(len(to)), Iov: &unix.Iovec{Base: &data[0], Len: 1}, Iovlen: 1}
	unix.Syscall(unix.SYS_SENDMSG, uintptr(u.some()), uintptr(unsafe.Pointer(&m)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
}

// unixActs are the calls that are made; many of them fail.
var unixActs = []func(u *unixer){
	func(u *unixer) { u.socket() },
	func(u *unixer) { u.socket() },
	func(u *unixer) { u.call(unix.SYS_BIND, u.some(), u.address()) },
	func(u *unixer) { u.call(unix.SYS_BIND, u.some(), u.address()) },
	func(u *unixer) { unix.Listen(u.some(), 5) },
	func(u *unixer) { unix.Listen(u.some(), 5) },
	func(u *unixer) { u.call(unix.SYS_CONNECT, u.some(), u.address()) },
	func(u *unixer) { u.call(unix.SYS_CONNECT, u.some(), u.address()) },
	func(u *unixer) { u.call(unix.SYS_CONNECT, u.some(), u.address()) },
	func(u *unixer) { connectRaw(u.some(), make([]byte, 16)) }, // disconnects datagram sockets
	func(u *unixer) {
		fd, _, err := unix.Accept4(u.some(), unix.SOCK_NONBLOCK)
		u.keep(fd, err)
	},
	func(u *unixer) {
		pair, err := unix.Socketpair(unix.AF_UNIX, []int{unix.SOCK_STREAM, unix.SOCK_DGRAM}[u.IntN(2)]|unix.SOCK_NONBLOCK, 0)
		u.keep(pair[0], err)
		u.keep(pair[1], err)
	},
	func(u *unixer) { u.keep(unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)) },
	func(u *unixer) { u.send() },
	func(u *unixer) { u.send() },
	func(u *unixer) { unix.Recvfrom(u.some(), make([]byte, 8), unix.MSG_DONTWAIT) },
	func(u *unixer) { unix.Recvmsg(u.some(), make([]byte, 8), nil, unix.MSG_DONTWAIT) },
	func(u *unixer) { unix.Shutdown(u.some(), u.IntN(4)) },
	func(u *unixer) { unix.SetsockoptInt(u.some(), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) },
	func(u *unixer) { unix.GetsockoptInt(u.some(), unix.SOL_SOCKET, unix.SO_ERROR) },
	func(u *unixer) { os.Remove([]string{"docker.sock", "x.sock", "sub/x.sock", "long"}[u.IntN(4)]) },
}

// unixConnects connects to a path n times, and accepts.
func unixConnects(path, n string) error {
	count, err := strconv.Atoi(n)
	if err != nil {
		return err
	}
	server, err := unixServer(path)
	if err != nil {
		return err
	}
	for range count {
		client, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			return err
		}
		if err := unix.Connect(client, &unix.SockaddrUnix{Name: path}); err != nil {
			return err
		}
		fd, _, err := unix.Accept4(server, 0)
		if err != nil {
			return err
		}
		unix.Close(fd)
		unix.Close(client)
	}
	return nil
}

// unixServer listens on a path, and does not wait.
func unixServer(path string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, err
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return 0, err
	}
	return fd, unix.Listen(fd, 5)
}

// unixSwaps connects n times in dir to a path that another thread changes at the
// same time, and prints how often it was that of docker.s.
func unixSwaps(dir, n string) error {
	count, err := strconv.Atoi(n)
	if err != nil {
		return err
	}
	if err := os.Chdir(dir); err != nil {
		return err
	}
	var names [2]uint64
	var servers [2]int
	for i, name := range []string{"docker.s", "harmless"} {
		names[i] = *(*uint64)(unsafe.Pointer(unsafe.StringData(name)))
		if servers[i], err = unixServer(name); err != nil {
			return err
		}
	}
	address := new([3]uint64) // the second word is the name that changes
	copy((*[24]byte)(unsafe.Pointer(address))[:], unixAddress("./././docker.s\x00"))
	var done atomic.Bool
	defer done.Store(true)
	go func() {
		runtime.LockOSThread()
		for i := 0; !done.Load(); i++ {
			atomic.StoreUint64(&address[1], names[i%2])
		}
	}()
	connected := 0
	for range count {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		if _, _, e := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(address)), 16); e != 0 {
			return e
		}
		for i, server := range servers {
			if peer, _, err := unix.Accept4(server, 0); err == nil {
				unix.Close(peer)
				connected += 1 - i
			}
		}
		unix.Close(fd)
	}
	_, err = fmt.Println(connected)
	return err
}
