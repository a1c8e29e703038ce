// Package sandbox protects the host while actions write to /bin and /etc. Its
// parts, each of use alone:
//
//   - Enter makes the calling process's mount namespace private, puts a tmpfs
//     on /tmp and an overlay on each directory that actions touch, and brings
//     up a network namespace of its own that has no way out. All of it ends
//     with the process, however that ends.
//   - Lookalike makes cgroups whose path sensors take for a container's.
//   - Journal lists what the kernel does not undo by itself, for Cleanup.
//
// The process that calls Enter must have been started in namespaces of its
// own (Cloneflags): a Go program cannot change them for all its threads.
package sandbox

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sort"

	"golang.org/x/sys/unix"
)

// Spec configures Enter.
type Spec struct {
	Run string // names everything; [a-z0-9]+
	// Overlay are directories that may be written to.
	Overlay []string
	// Network brings up loopback with Addresses; only for a process that is
	// alone in its network namespace.
	Network   bool
	Addresses []netip.Addr
}

// Place is the environment of a sandboxed process.
type Place struct {
	Scratch string // an empty directory
	Exe     string // this program, executable by everyone
}

// Cloneflags are the namespaces that a process needs for Enter.
func Cloneflags(network bool) uintptr {
	flags := uintptr(unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS)
	if network {
		flags |= unix.CLONE_NEWNET
	}
	return flags
}

// work is where the sandbox's own parts live, in the private /tmp. It is no hidden
// directory: rules look for those.
const work = "/tmp/peregrine-sandbox"

// Enter builds the sandbox around this process.
func Enter(spec Spec) (Place, error) {
	unix.Umask(0) // directories get their modes when they are made
	defer unix.Umask(0o022)
	// Nothing mounted from here on reaches the namespace that we came from.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return Place{}, fmt.Errorf("make mounts private: %w", err)
	}
	exe, err := unix.Open("/proc/self/exe", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return Place{}, fmt.Errorf("open this program: %w", err)
	}
	defer unix.Close(exe)
	if err := unix.Mount("peregrine", "/tmp", "tmpfs", unix.MS_NOSUID, "mode=1777"); err != nil {
		return Place{}, fmt.Errorf("private /tmp: %w", err)
	}
	place := Place{Scratch: "/tmp/peregrine-" + spec.Run, Exe: work + "/bin/peregrine"}
	for _, dir := range []string{place.Scratch, filepath.Dir(place.Exe)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return Place{}, err
		}
	}
	if err := bindFile(exe, place.Exe); err != nil {
		return Place{}, err
	}
	if err := overlays(spec.Overlay); err != nil {
		return Place{}, err
	}
	if err := unix.Sethostname([]byte("peregrine-" + spec.Run)); err != nil {
		return Place{}, fmt.Errorf("set host name: %w", err)
	}
	if spec.Network {
		if err := loopback(spec.Addresses); err != nil {
			return Place{}, fmt.Errorf("private network: %w", err)
		}
	}
	return place, nil
}

// bindFile shows an open file under another path. The same inode remains: it
// is not in the upper layer of any overlay.
func bindFile(fd int, path string) error {
	if err := unix.Mknod(path, unix.S_IFREG|0o644, 0); err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", fd), path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", path, err)
	}
	return nil
}

// overlays lays an overlay over each directory, parents first.
func overlays(dirs []string) error {
	targets, err := overlaid(dirs)
	if err != nil {
		return err
	}
	for i, dir := range targets {
		if err := overlay(dir, fmt.Sprintf("%s/overlay%d", work, i)); err != nil {
			return fmt.Errorf("overlay on %s: %w (this file system may not allow one; --no-sandbox works on the host itself)", dir, err)
		}
	}
	return nil
}

// overlaid are the directories that get an overlay, parents first. Directories
// that do not exist are not the host's files, but writing to them would be: their
// parent gets the overlay, unless it is the root directory. This process would
// still see the one below, so actions do not write there (Action.Applies).
func overlaid(dirs []string) (sorted []string, err error) {
	targets := map[string]bool{}
	for _, dir := range dirs {
		for {
			real, err := filepath.EvalSymlinks(dir)
			if err == nil {
				targets[real] = true
				break
			}
			if dir == "/" {
				return nil, err
			}
			dir = filepath.Dir(dir)
		}
	}
	for dir := range targets {
		if dir != "/" && dir != "/tmp" { // which is private already
			sorted = append(sorted, dir)
		}
	}
	sort.Strings(sorted)
	return sorted, nil
}
