package needs

import (
	"testing"

	"golang.org/x/sys/unix"
)

// SmallDisk is a directory that has room for size, which is as mount(8) takes
// it for a tmpfs: 64k.
func SmallDisk(t testing.TB, size string) string {
	t.Helper()
	Root(t)
	dir := t.TempDir()
	That(t, "to mount a small disk", unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size))
	t.Cleanup(func() {
		// Detached: others on the host may just look at it.
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}
