package sensor

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func init() {
	for name, act := range map[string]func(path string) error{
		"close": closeFile, "fcntl": getFlags, "epoll": epollCreate, "dup": dupNothing, "memfd": runFromMemory, "missing": openMissing,
		"namespace": openNamespace, "mode": createWithMode, "datagram": sendUnbound, "threads": endThread,
		"io-uring": makeRing, "userfault": makeUserfault, "directory": openAbsoluteIn, "signal": signalThread,
		"children": forkElsewhere, "pidfd": openPidfd, "bind": bindElsewhere, "chown-nobody": chownNobody,
		"fast-open": connectBySending(unix.SYS_SENDTO, unix.IPPROTO_TCP), "fast-open-sendmsg": connectBySending(unix.SYS_SENDMSG, unix.IPPROTO_TCP),
		"fast-open-sendmmsg": connectBySending(unix.SYS_SENDMMSG, unix.IPPROTO_TCP), "fast-open-mptcp": connectBySending(unix.SYS_SENDTO, unix.IPPROTO_MPTCP),
		"attribute": setAttribute, "types": runWithDescriptors, "setns": enterNamespace,
	} {
		acts[name] = func(a []string) error { return act(a[0]) }
	}
}

func closeFile(path string) error { return openAndClose(path, unix.O_RDONLY) }

func getFlags(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	_, err = unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	return err
}

func epollCreate(string) error {
	_, err := unix.EpollCreate1(0)
	return err
}

func dupNothing(string) error {
	if _, err := unix.Dup(77); err == nil {
		return fmt.Errorf("dup of nothing succeeded")
	}
	return nil
}

// runFromMemory runs a program that has no file.
func runFromMemory(string) error {
	fd, err := unix.MemfdCreate("in-memory", 0)
	if err != nil {
		return err
	}
	program, err := os.ReadFile("/bin/true")
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(fd), "memfd")
	if _, err := file.Write(program); err != nil {
		return err
	}
	return exec.Command(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd)).Run()
}

func openMissing(path string) error {
	if _, err := unix.Open(path+".missing", unix.O_RDONLY, 0); err == nil {
		return fmt.Errorf("opened what is not there")
	}
	return nil
}

func openNamespace(string) error { return openAndClose("/proc/self/ns/uts", unix.O_RDONLY) }

// enterNamespace enters the namespace that the thread is in.
func enterNamespace(string) error {
	runtime.LockOSThread()
	fd, err := unix.Open("/proc/thread-self/ns/uts", unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return unix.Setns(fd, unix.CLONE_NEWUTS)
}

func createWithMode(path string) error {
	fd, err := unix.Open(path+".made", unix.O_CREAT|unix.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func makeRing(string) error {
	var params [120]byte // struct io_uring_params
	return madeBy(unix.SYS_IO_URING_SETUP, 8, uintptr(unsafe.Pointer(&params)))
}

func makeUserfault(string) error { return madeBy(unix.SYS_USERFAULTFD, 1 /* UFFD_USER_MODE_ONLY */, 0) }

// madeBy makes a call that returns a descriptor, and may be refused: only the
// event matters.
func madeBy(call, a, b uintptr) error {
	fd, _, errno := unix.Syscall(call, a, b, 0)
	if errno != 0 {
		return errno
	}
	return unix.Close(int(fd))
}

// openAbsoluteIn opens an absolute path with a descriptor that it has no use for.
func openAbsoluteIn(path string) error {
	dir, err := unix.Open(filepath.Dir(path), unix.O_DIRECTORY|unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return openIn(dir, path)
}

// signalThread sends no signal to a thread other than the first.
func signalThread(string) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- unix.Tgkill(os.Getpid(), unix.Gettid(), 0)
	}()
	return <-done
}

// forkElsewhere forks into a new pid namespace, which unshare has made.
func forkElsewhere(string) error {
	// Go's first fork is a trial (os.checkPidfd), and must not be the namespace's
	// first process, with which it ends.
	if err := exec.Command("/bin/true").Run(); err != nil {
		return err
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWPID); err != nil {
		return err
	}
	return exec.Command("/bin/true").Run()
}

func openPidfd(string) error {
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// bindElsewhere binds to an address that is not here.
func bindElsewhere(string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	if unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{192, 0, 2, 9}, Port: 999}) == nil {
		return fmt.Errorf("bound to 192.0.2.9")
	}
	return nil
}

func chownNobody(path string) error { return unix.Lchown(path, -1, -1) }

// connectBySending connects with the first data, by TCP Fast Open.
func connectBySending(call, protocol int) func(string) error {
	return func(string) error {
		listener, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer listener.Close()
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, protocol)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		port := listener.Addr().(*net.TCPAddr).Port
		to := [16]byte{unix.AF_INET, 0, byte(port >> 8), byte(port), 127, 0, 0, 1} // little-endian, as amd64 and arm64 are
		data := [1]byte{'x'}
		iov := unix.Iovec{Base: &data[0], Len: 1}
		message := struct {
			unix.Msghdr
			length uint32
		}{Msghdr: unix.Msghdr{Name: &to[0], Namelen: 16, Iov: &iov, Iovlen: 1}}
		var errno unix.Errno
		switch call {
		case unix.SYS_SENDTO:
			return unix.Sendto(fd, data[:], unix.MSG_FASTOPEN, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port})
		case unix.SYS_SENDMSG:
			_, _, errno = unix.Syscall(uintptr(call), uintptr(fd), uintptr(unsafe.Pointer(&message)), unix.MSG_FASTOPEN)
		case unix.SYS_SENDMMSG:
			_, _, errno = unix.Syscall6(uintptr(call), uintptr(fd), uintptr(unsafe.Pointer(&message)), 1, unix.MSG_FASTOPEN, 0, 0)
		}
		if errno != 0 {
			return errno
		}
		return nil
	}
}

// setAttribute sets an attribute in all ways; only the event matters.
func setAttribute(path string) error {
	const name = "user.peregrine"
	value := []byte("value")
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	errs := []error{unix.Setxattr(path, name, value, 0), unix.Lsetxattr(path, name, value, 0), unix.Fsetxattr(fd, name, value, 0)}
	pathname, attribute := append([]byte(path), 0), append([]byte(name), 0)
	args := struct { // struct xattr_args, include/uapi/linux/xattr.h
		value       *byte
		size, flags uint32
	}{&value[0], uint32(len(value)), 0}
	cwd := unix.AT_FDCWD
	_, _, errno := unix.Syscall6(unix.SYS_SETXATTRAT, uintptr(cwd), uintptr(unsafe.Pointer(&pathname[0])), 0,
		uintptr(unsafe.Pointer(&attribute[0])), uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args))
	if errno != 0 {
		errs = append(errs, errno)
	}
	for _, err := range errs {
		if err != nil && err != unix.ENOTSUP && err != unix.ENOSYS {
			return err
		}
	}
	return nil
}

// runWithDescriptors runs a program that is gone before anybody can ask for its
// descriptors.
func runWithDescriptors(string) error {
	listener, err := net.ListenTCP("tcp4", nil)
	if err != nil {
		return err
	}
	defer listener.Close()
	socket, err := listener.File()
	if err != nil {
		return err
	}
	cmd := exec.Command("/bin/true")
	cmd.ExtraFiles = []*os.File{socket}
	cmd.Stdin = strings.NewReader("by a pipe")
	return cmd.Run()
}

// sendUnbound sends a datagram from a socket that has no address yet.
func sendUnbound(string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	return unix.Sendto(fd, []byte("x"), 0, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: 9})
}

// endThread ends threads while the process goes on; the first thread of a
// program, which Go does not end, may be one of them.
func endThread(string) error {
	var ready, tids sync.WaitGroup
	ended := make([]int, 2)
	for i := range ended {
		ready.Add(1)
		tids.Add(1)
		go func() {
			runtime.LockOSThread() // without an end: the thread goes with the goroutine
			ended[i] = unix.Gettid()
			ready.Done()
			ready.Wait()
			tids.Done()
		}()
	}
	tids.Wait()
	if !needs.Within(needs.Patience, func() bool {
		return slices.ContainsFunc(ended, func(tid int) bool { return unix.Tgkill(os.Getpid(), tid, 0) == unix.ESRCH })
	}) {
		return errors.New("no thread has ended")
	}
	return nil
}

// TestValues shows rows of docs/compatibility.md: the values of fields for real
// calls.
func TestValues(t *testing.T) {
	requireBPF(t)
	file := t.TempDir() + "/file"
	write(t, file, "")
	tests := []struct{ act, condition string }{
		{"close", "evt.type = close and fd.name = FILE and evt.arg.fd = <f>FILE"},
		{"fcntl", "evt.type = fcntl and fd.name = FILE and evt.arg.fd = <f>FILE and evt.arg.cmd = F_GETFD and evt.arg.res = 0 and fd.num > 2"},
		{"epoll", "evt.type = epoll_create1 and fd.num > 2 and fd.type = eventpoll"},
		{"dup", "evt.type = dup and fd.num = 77 and evt.res = EBADF"},
		{"memfd", "evt.type = execve and proc.exepath = memfd:in-memory"},
		{"missing", "evt.type in (open, openat) and evt.res = ENOENT and fs.path.name = FILE.missing"},
		{"namespace", "evt.type in (open, openat) and fd.name = /proc/self/ns/uts"},
		{"setns", `evt.type = setns and evt.rawres = 0 and fd.num > 2 and fd.name = ""`},
		{"mode", "evt.type in (open, openat) and fd.name = FILE.made and evt.arg.mode = 0644"},
		{"datagram", `evt.type = sendto and fd.l4proto = udp and fd.connected = false and fd.name_changed = true and fd.ip != "0.0.0.0" and fd.sip = 127.0.0.1 and fd.sport = 9`},
		{"io-uring", "evt.type = io_uring_setup and fd.num > 2 and fd.type = io_uring"},
		{"userfault", "evt.type = userfaultfd and fd.num > 2 and fd.type = userfaultfd"},
		{"directory", "evt.type = openat and fd.name = FILE and evt.arg.dirfd = <d>DIR"},
		{"signal", "evt.type = tgkill and evt.arg.tid = sensor.test and evt.arg.pid = sensor.test"},
		{"children", "evt.type in (clone, clone3) and evt.rawres > 0 and evt.arg.flags contains CLONE_CHILD_IN_PIDNS and proc.name = sensor.test"},
		{"children", "evt.type = execve and proc.name = true and proc.vpid = 1 and evt.arg.ptid = sensor.test"},
		{"pidfd", `evt.type = pidfd_open and fd.num > 2 and fd.type = pidfd and fd.name = ""`},
		{"fast-open", "evt.type = connect and evt.rawres = 0 and fd.l4proto = tcp and fd.sip = 127.0.0.1 and fd.is_server = false and evt.arg.addr startswith 127.0.0.1"},
		{"fast-open", "evt.type = sendto and evt.rawres = 1 and fd.l4proto = tcp and fd.sip = 127.0.0.1"},
		{"fast-open-sendmsg", "evt.type = connect and evt.rawres = 0 and fd.l4proto = tcp and evt.arg.addr startswith 127.0.0.1 and proc.args startswith 'perform-act fast-open-sendmsg '"},
		{"fast-open-sendmsg", "evt.type = sendmsg and evt.rawres = 1 and fd.l4proto = tcp and proc.args startswith 'perform-act fast-open-sendmsg '"},
		{"fast-open-sendmmsg", "evt.type = connect and evt.rawres = 0 and fd.l4proto = tcp and evt.arg.addr startswith 127.0.0.1 and proc.args startswith 'perform-act fast-open-sendmmsg '"},
		{"fast-open-sendmmsg", "evt.type = sendmmsg and evt.rawres = 1 and fd.l4proto = tcp and proc.args startswith 'perform-act fast-open-sendmmsg '"},
		{"fast-open-mptcp", "evt.type = connect and evt.rawres = 0 and fd.l4proto = tcp and evt.arg.addr startswith 127.0.0.1 and proc.args startswith 'perform-act fast-open-mptcp '"},
		{"fast-open-mptcp", "evt.type = sendto and evt.rawres = 1 and fd.l4proto = tcp and proc.args startswith 'perform-act fast-open-mptcp '"},
		{"attribute", "evt.type = setxattr and evt.arg.path = FILE and evt.arg.name = user.peregrine and evt.arg.size = 5"},
		{"attribute", "evt.type = lsetxattr and evt.arg.path = FILE and evt.arg.name = user.peregrine and evt.arg.size = 5"},
		{"attribute", "evt.type = fsetxattr and evt.arg.fd = <f>FILE and evt.arg.name = user.peregrine and evt.arg.size = 5"},
		{"attribute", "evt.type = setxattrat and evt.arg.path = FILE and evt.arg.name = user.peregrine and evt.arg.size = 5"},
		{"types", "evt.type = execve and proc.name = true and proc.pname = sensor.test and fd.types intersects (ipv4) and fd.types[0] in (pipe) and proc.stdin.type = pipe"},
		{"bind", "evt.type = bind and evt.res = EADDRNOTAVAIL and evt.arg.addr = 192.0.2.9:999"},
		{"chown-nobody", "evt.type in (lchown, fchownat) and evt.arg.uid = 4294967295 and evt.arg.gid = 4294967295"},
		{"threads", "evt.type = procexit and thread.ismain = false"},
	}
	names := strings.NewReplacer("FILE", file, "DIR", filepath.Dir(file))
	var rules strings.Builder
	for i, tt := range tests {
		fmt.Fprintf(&rules, "- rule: R%d\n  desc: d\n  priority: INFO\n  output: \"%%evt.args\"\n  condition: %s\n", i, names.Replace(tt.condition))
	}
	s := start(t, rules.String(), "rule_matching=all", "base_syscalls.all=true")
	missing := map[string]string{}
	for i, tt := range tests {
		missing[fmt.Sprintf("R%d", i)] = tt.act + ": " + tt.condition
	}
	for range 5 { // on a busy machine an event may be lost, which is counted
		for i, tt := range tests {
			if missing[fmt.Sprintf("R%d", i)] != "" {
				perform(t, tt.act, file)
			}
		}
		s.poll(5*time.Second, func(a alertLine) bool {
			delete(missing, a.Rule)
			return len(missing) == 0
		})
		if len(missing) == 0 {
			break
		}
	}
	for _, what := range missing {
		t.Error("no alert for ", what)
	}
}
