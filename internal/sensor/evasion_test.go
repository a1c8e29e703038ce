package sensor

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// actArg makes the test binary perform one of acts instead of tests: a separate
// process performs the act that the sensor must see.
const actArg = "perform-act"

var acts = map[string]func(args []string) error{
	"open":        func(a []string) error { return openAndClose(a[0], unix.O_RDONLY) },
	"handle":      func(a []string) error { return openByHandle(a[0]) },
	"fchmodat2":   func(a []string) error { return fchmodat2(a[0]) },
	"fchmodatrel": func(a []string) error { return fchmodatRelative(a[0]) },
	"passed":      func(a []string) error { return chmodPassed(a[0]) },
}

func act(name string, args []string) int {
	if err := acts[name](args); err != nil {
		fmt.Fprintln(os.Stderr, name, err)
		return 1
	}
	return 0
}

func perform(t *testing.T, name string, args ...string) {
	t.Helper()
	performAs(t, nil, name, args...)
}

// performAs performs the act in namespaces or as a user of its own. The test's
// binary is in a directory that others may not enter: it is run by a descriptor.
func performAs(t *testing.T, as *syscall.SysProcAttr, name string, args ...string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(exe)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := exec.Command(exe, append([]string{actArg, name}, args...)...)
	if as != nil {
		cmd.Path, cmd.ExtraFiles, cmd.SysProcAttr = "/proc/self/fd/3", []*os.File{file}, as
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

func openAndClose(path string, flags int) error {
	fd, err := unix.Open(path, flags, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func openByHandle(path string) error {
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, path, 0)
	if err != nil {
		return fmt.Errorf("name_to_handle_at: %w", err)
	}
	dir, err := unix.Open(filepath.Dir(path), unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	fd, err := unix.OpenByHandleAt(dir, handle, unix.O_RDONLY)
	if err != nil {
		return fmt.Errorf("open_by_handle_at: %w", err)
	}
	return unix.Close(fd)
}

func fchmodat2(path string) error {
	p, err := unix.BytePtrFromString(path)
	if err != nil {
		return err
	}
	dir := unix.AT_FDCWD
	if _, _, errno := unix.Syscall6(unix.SYS_FCHMODAT2, uintptr(dir), uintptr(unsafe.Pointer(p)), 0o4755, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}

func fchmodatRelative(path string) error {
	if err := os.Chdir(filepath.Dir(path)); err != nil {
		return err
	}
	return unix.Fchmodat(unix.AT_FDCWD, filepath.Base(path), 0o4755, 0)
}

// chmodPassed changes a file through a descriptor that came over a socket.
func chmodPassed(path string) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	if err := unix.Sendmsg(pair[0], []byte{1}, unix.UnixRights(fd), nil, 0); err != nil {
		return err
	}
	if err := unix.Close(fd); err != nil {
		return err
	}
	buf, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(pair[1], buf, oob, 0)
	if err != nil {
		return err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		return err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return err
	}
	return unix.Fchmod(fds[0], 0o4755)
}

// Ways around rules that Falco 0.44.1 falls for.
//
// It shows a row of docs/compatibility.md.
func TestEvasions(t *testing.T) {
	s := start(t, "")
	dir := t.TempDir()
	link := func(name, target string) string {
		path := filepath.Join(dir, name)
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := filepath.Join(dir, "program")
	write(t, file, "")
	needs.Host(t)
	ssh, err := os.MkdirTemp("/root", ".ssh-peregrine-") // not where keys are that somebody needs
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(ssh) })
	authorized := filepath.Join(ssh, "authorized_keys")
	const sensitive, setuid = "Read sensitive file untrusted", "Set Setuid or Setgid bit"
	tests := []struct {
		name, act, arg string
		rule           string
		field, want    string
	}{
		{"symbolic link", "open", link("file-link", "/etc/shadow"), sensitive, "fd.name", "/etc/shadow"},
		{"link to a link", "open", link("second-link", filepath.Join(dir, "file-link")), sensitive, "fd.name", "/etc/shadow"},
		{"linked directory", "open", link("dir-link", "/etc") + "/shadow", sensitive, "fd.name", "/etc/shadow"},
		{"/proc/self/root", "open", "/proc/self/root/etc/shadow", sensitive, "fd.name", "/etc/shadow"},
		{"padding", "open", "/etc/" + strings.Repeat("./", 600) + "shadow", sensitive, "fd.name", "/etc/shadow"},
		{"open_by_handle_at", "handle", "/etc/shadow", sensitive, "fd.name", "/etc/shadow"},
		{"creat", "creat", authorized, "Adding ssh keys to authorized_keys", "fd.name", authorized},
		{"fchmodat2", "fchmodat2", file, setuid, "evt.arg.filename", file},
		{"relative fchmodat", "fchmodatrel", file, setuid, "evt.arg.filename", file},
		{"descriptor over a socket", "passed", file, setuid, "evt.arg.fd", "<f>" + file},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if acts[tt.act] == nil {
				t.Skipf("no %s on %s", tt.act, runtime.GOARCH)
			}
			s.t = t
			a := s.provoke("of "+tt.rule, func() { perform(t, tt.act, tt.arg) }, func(a alertLine) bool {
				return a.Rule == tt.rule && a.Fields["proc.name"] == "sensor.test"
			})
			if got := a.Fields[tt.field]; got != tt.want {
				t.Errorf("%s = %q, want %q\n%s", tt.field, got, tt.want, a.Output)
			}
		})
	}
	s.t = t
}
