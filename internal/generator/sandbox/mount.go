package sandbox

import (
	"fmt"
	"os"
	"sort"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
)

// overlay mounts an overlay on dir whose changes go to a directory in state.
// Mounts below dir would be hidden, and are bound again.
func overlay(dir, state string) error {
	upper, work := state+"/upper", state+"/work"
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	if err := mkdirLike(dir, upper); err != nil {
		return err
	}
	below, err := mountsBelow(dir)
	if err != nil {
		return err
	}
	kept := make([]int, len(below))
	for i, path := range below {
		if kept[i], err = unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0); err != nil {
			return fmt.Errorf("open mount %s: %w", path, err)
		}
		defer unix.Close(kept[i])
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", escape(dir), upper, work)
	if err := unix.Mount("overlay", dir, "overlay", 0, options); err != nil {
		return err
	}
	for i, path := range below {
		from := fmt.Sprintf("/proc/self/fd/%d", kept[i])
		if err := unix.Mount(from, path, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("keep mount %s: %w", path, err)
		}
	}
	return nil
}

// mkdirLike makes a directory with the mode and owner of another: the upper
// directory becomes the root of the overlay. It changes the mode only if it
// has to, since a chmod is an event that rules look at.
func mkdirLike(of, dir string) error {
	var want, got unix.Stat_t
	if err := unix.Stat(of, &want); err != nil {
		return err
	}
	mode := want.Mode & 0o7777
	if err := unix.Mkdir(dir, mode); err != nil {
		return err
	}
	if err := unix.Chown(dir, int(want.Uid), int(want.Gid)); err != nil {
		return err
	}
	if err := unix.Stat(dir, &got); err != nil || got.Mode&0o7777 == mode {
		return err
	}
	return unix.Chmod(dir, mode)
}

// escape escapes the syntax characters of the kernel's option parser
// (Documentation/filesystems/overlayfs.rst).
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `,`, `\,`, `:`, `\:`).Replace(path)
}

// mountsBelow lists mount points below dir, the uppermost only: they are bound
// with the mounts below them.
func mountsBelow(dir string) ([]string, error) {
	mounts, err := procfs.Host.Mounts()
	if err != nil {
		return nil, err
	}
	var all []string
	for _, m := range mounts {
		if strings.HasPrefix(m.Point, strings.TrimSuffix(dir, "/")+"/") {
			all = append(all, m.Point)
		}
	}
	sort.Strings(all)
	var top []string
	for _, path := range all {
		if len(top) == 0 || path != top[len(top)-1] && !strings.HasPrefix(path, top[len(top)-1]+"/") {
			top = append(top, path)
		}
	}
	return top, nil
}
