package e2e

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// way is an evasion of Falco's rules that a default rule detects, with a
// harmless look-alike that it must not match.
type way struct {
	rule          string
	act, harmless func(dir string) error
}

var waysAround = []way{
	{"Set Setuid or Setgid bit", open("x", unix.O_CREAT, 0o4755), open("x", unix.O_CREAT, 0o755)},
	{"Set Setuid or Setgid bit", open("", unix.O_TMPFILE, 0o4755), open("", unix.O_TMPFILE, 0o755)},
	{"Set Setuid or Setgid bit", creat(0o4755), creat(0o755)},
	{"Set Setuid or Setgid bit", mknod(unix.S_IFREG | 0o2755), mknod(unix.S_IFREG | 0o755)},
	{"File Capabilities Set", setxattr, otherAttribute},
	{"System File Emptied While Opened for Reading", emptied("/etc"), emptied("/tmp")},
	{"System Configuration Replaced", renamed("/etc/cron.d"), renamed("/etc")},
	{"System Configuration Replaced", linked("/etc/cron.d"), linked("/etc")},
	{"System Configuration Replaced", symlinked("/etc/cron.d"), symlinked("/etc")},
	{"System Configuration Replaced", exchanged("/etc/cron.d"), exchanged("/etc")},
	{"System File Truncated by Path", truncated("/etc"), truncated("/tmp")},
	{"System File Truncated by Path", truncated("/root"), notTruncated},
	{"Mount over System Configuration", mounted("/etc", 0), mounted("/tmp", 0)},
	{"Mount over System Configuration", mounted("/etc", unix.MS_PRIVATE), mounted("/tmp", unix.MS_PRIVATE)},
	{"Mount over System Configuration", mountedAnew("/etc"), mountedAnew("/tmp")},
	{"Mount over System Configuration", attached("/etc"), attached("/tmp")},
	{"Program Under a Trusted Name", named("sshd"), named("harmless")},
	{"Execution from /dev/shm", fromShm, nil},
	{"Command Line Longer Than Recorded", arguments(60), arguments(20)},
	{"Unexpected io_uring Setup", ring(0), ring(1 << 30)},
	{"Unexpected UDP Traffic", datagram("", "192.0.2.7:9"), datagram("", "127.0.0.1:9")},
	{"Unexpected UDP Traffic", datagram("192.0.2.1:53", "192.0.2.7:9"), datagram("192.0.2.1:53", "192.0.2.7:53")},
}

// The default rules detect evasions of Falco's, and nothing else: the harmless
// acts leave "harmless" in their alerts, if there are any.
//
// It shows a row of docs/compatibility.md.
func TestWaysAroundTheRules(t *testing.T) {
	requireBPF(t)
	needs.Host(t)
	dir := t.TempDir()
	self := filepath.Base(os.Args[0])
	self = self[:min(len(self), 15)] // as the kernel has it
	var scope strings.Builder
	for _, rule := range listRules(t, defaultRules()...) {
		fmt.Fprintf(&scope, "- rule: %q\n  condition: and (proc.name=%[2]s or proc.aname=%[2]s)\n  override: {condition: append}\n", rule, self)
	}
	file := filepath.Join(dir, "scope.yaml")
	write(t, file, scope.String())
	s := startSensor(t, append(defaultRules(), "-r", file)...)
	do := func(act func(string) error, name string) {
		dir, err := os.MkdirTemp(dir, name)
		if err == nil {
			err = act(dir)
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	for i, w := range waysAround {
		if w.harmless != nil {
			do(w.harmless, fmt.Sprintf("harmless-%d-", i))
		}
		s.provoke("of "+w.rule, func() { do(w.act, fmt.Sprintf("act-%d-", i)) }, func(a alert) bool {
			return a.Rule == w.rule
		})
	}
	s.eachAlert(0, func(a alert) {
		for _, w := range waysAround {
			if a.Rule == w.rule && strings.Contains(a.Output, "harmless") {
				t.Errorf("%s", a.Output)
			}
		}
	})
}

func open(name string, flags int, mode uint32) func(string) error {
	return func(dir string) error {
		fd, err := unix.Open(filepath.Join(dir, name), flags|unix.O_WRONLY, mode)
		if err == nil {
			err = unix.Close(fd)
		}
		return err
	}
}

func creat(mode uint32) func(string) error {
	return func(dir string) error {
		fd, err := unix.Creat(filepath.Join(dir, "x"), mode)
		if err == nil {
			err = unix.Close(fd)
		}
		return err
	}
}

func mknod(mode uint32) func(string) error {
	return func(dir string) error { return unix.Mknod(filepath.Join(dir, "node"), mode, 0) }
}

func setxattr(dir string) error {
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	// struct vfs_cap_data: VFS_CAP_REVISION_2, and CAP_CHOWN permitted.
	capability := []byte{0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	if err := unix.Setxattr(path, "security.capability", capability, 0); !errors.Is(err, unix.ENOTSUP) {
		return err // not every file system has them: asking is enough
	}
	return nil
}

func otherAttribute(dir string) error {
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	if err := unix.Setxattr(path, "user.peregrine", []byte("x"), 0); !errors.Is(err, unix.ENOTSUP) {
		return err
	}
	return nil
}

// below makes a file in a directory for the time of f. Its name says which test
// it belongs to.
func below(where, dir string, f func(path string) error) error {
	path := filepath.Join(where, "peregrine-"+filepath.Base(dir))
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		return err
	}
	return errors.Join(f(path), os.Remove(path))
}

func emptied(where string) func(string) error {
	return func(dir string) error {
		return below(where, dir, func(path string) error {
			fd, err := unix.Open(path, unix.O_RDONLY|unix.O_TRUNC, 0)
			if err == nil {
				err = unix.Close(fd)
			}
			return err
		})
	}
}

// renamed moves a file into place.
func renamed(where string) func(string) error {
	return func(dir string) error {
		to := filepath.Join(where, "peregrine-"+filepath.Base(dir))
		return below("/etc", dir+"-new", func(from string) error {
			return errors.Join(os.Rename(from, to), os.Rename(to, from))
		})
	}
}

// linked puts a file into place that had no name.
func linked(where string) func(string) error {
	return func(dir string) error {
		fd, err := unix.Open("/etc", unix.O_TMPFILE|unix.O_RDWR, 0o600)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		to := filepath.Join(where, "peregrine-"+filepath.Base(dir))
		return errors.Join(unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, to, unix.AT_SYMLINK_FOLLOW), os.Remove(to))
	}
}

// symlinked puts a link into place.
func symlinked(where string) func(string) error {
	return func(dir string) error {
		to := filepath.Join(where, "peregrine-"+filepath.Base(dir))
		return errors.Join(os.Symlink(dir, to), os.Remove(to))
	}
}

// exchanged gives a file there the name of another, and that one its own.
func exchanged(where string) func(string) error {
	return func(dir string) error {
		return below(where, dir, func(there string) error {
			return below("/etc", dir+"-new", func(other string) error {
				return unix.Renameat2(unix.AT_FDCWD, there, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE)
			})
		})
	}
}

func truncated(where string) func(string) error {
	return func(dir string) error {
		return below(where, dir, func(path string) error { return unix.Truncate(path, 0) })
	}
}

// notTruncated fails: there is no such file.
func notTruncated(dir string) error {
	err := unix.Truncate(filepath.Join("/etc", "peregrine-"+filepath.Base(dir)), 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return fmt.Errorf("truncate: expected ENOENT, have %w", err)
}

// covered makes a directory there for the time of f.
func covered(where, dir string, f func(target string) error) error {
	target := filepath.Join(where, "peregrine-"+filepath.Base(dir))
	if err := os.Mkdir(target, 0o755); err != nil {
		return err
	}
	return errors.Join(f(target), unix.Unmount(target, unix.MNT_DETACH), os.Remove(target))
}

// mountedAnew covers a directory by a filesystem of its own.
func mountedAnew(where string) func(string) error {
	return func(dir string) error {
		return covered(where, dir, func(target string) error { return unix.Mount(dir, target, "tmpfs", 0, "") })
	}
}

// attached binds as newer versions of mount(8) do.
func attached(where string) func(string) error {
	return func(dir string) error {
		return covered(where, dir, func(target string) error {
			fd, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.MoveMount(fd, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH)
		})
	}
}

// mounted covers a file by another for a moment. Linux looks at the other flags
// only where it does not bind.
func mounted(where string, flags uintptr) func(string) error {
	return func(dir string) error {
		return below(where, dir, func(target string) error {
			source := filepath.Join(dir, "source")
			if err := os.WriteFile(source, nil, 0o600); err != nil {
				return err
			}
			if err := unix.Mount(source, target, "", unix.MS_BIND|flags, ""); err != nil {
				return err
			}
			return unix.Unmount(target, unix.MNT_DETACH)
		})
	}
}

// named starts a shell by a link of that name.
func named(name string) func(string) error {
	return func(dir string) error {
		sh, err := exec.LookPath("bash")
		if err != nil {
			return err
		}
		link := filepath.Join(dir, name)
		return errors.Join(os.Symlink(sh, link), exec.Command(link, "-c", "true").Run())
	}
}

// fromShm starts a program in /dev/shm whose first argument says otherwise.
func fromShm(dir string) error {
	program := filepath.Join("/dev/shm", filepath.Base(dir))
	sh, err := exec.LookPath("true")
	if err == nil {
		err = copyFile(sh, program)
	}
	if err != nil {
		return err
	}
	defer os.Remove(program)
	return (&exec.Cmd{Path: program, Args: []string{"cat"}}).Run()
}

// arguments starts find with n arguments of 100 bytes.
func arguments(n int) func(string) error {
	return func(dir string) error {
		var args []string
		for range n {
			args = append(args, dir+"/"+strings.Repeat("x", 99-len(dir)))
		}
		var exit *exec.ExitError
		if err := exec.Command("find", args...).Run(); !errors.As(err, &exit) { // there are no such files
			return err
		}
		return nil
	}
}

// ring makes an io_uring; flags that do not exist make it fail.
func ring(flags uint32) func(string) error {
	return func(string) error {
		params := [30]uint32{2: flags} // struct io_uring_params, include/uapi/linux/io_uring.h
		fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0)
		switch {
		case flags != 0 && errno == 0:
			return errors.New("io_uring_setup takes unknown flags")
		case flags != 0:
			return nil
		case errno != 0:
			return fmt.Errorf("io_uring_setup: %w", errno)
		}
		return unix.Close(int(fd))
	}
}

// datagram sends from a socket that is not bound, and may be connected to another
// address.
func datagram(connected, to string) func(string) error {
	return func(string) error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if connected != "" {
			err = unix.Connect(fd, address4(connected))
		}
		if err == nil {
			err = unix.Sendto(fd, []byte("x"), 0, address4(to))
		}
		if errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.ECONNREFUSED) {
			return nil
		}
		return err
	}
}

func address4(at string) *unix.SockaddrInet4 {
	a := netip.MustParseAddrPort(at)
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
}
