package sensor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/wait"
)

// ballastBytes are allocated at the start, and never touched, so that they take no
// memory: the garbage collector counts them, and first runs when the heap has half
// as much beside them, not again and again while it grows from nothing, which took
// a sixth of the start.
const ballastBytes = 8 << 20

// settled are the times after which memory is given back, from the time that the
// sensor is ready or has reloaded, each from the one before: when the first
// alerts are out, which are not to wait for it, and when all services have had
// their first turns, whose code and stacks are read once.
var settled = []time.Duration{time.Second, 6 * time.Second}

// serveMemory gives back what only the start needed, or a reload.
func (s *sensor) serveMemory(ctx context.Context) error {
	for {
		for _, after := range settled {
			if wait.For(ctx, after) != nil {
				return nil
			}
			if err := giveBackMemory(); err != nil {
				s.log.Debug("memory that only the start needed stays in use", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.reloaded:
		}
	}
}

// giveBackMemory releases memory that only the start needed: garbage of the
// heap, and the pages of the executable touched while reading and compiling
// rules and loading the probe, which are half of it. They stay in the page
// cache, where the kernel may reclaim them; code that the sensor still runs is
// mapped again on access.
func giveBackMemory() error {
	debug.FreeOSMemory()
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("give back the program's pages: %w", err)
	}
	return unmapPages(exe)
}

// unmapPages releases all pages of a file that are mapped read-only and
// unchanged.
func unmapPages(path string) error {
	smaps, err := os.Open("/proc/self/smaps")
	if errors.Is(err, os.ErrNotExist) { // CONFIG_PROC_PAGE_MONITOR
		return nil
	}
	if err != nil {
		return fmt.Errorf("give back pages of %s: %w", path, err)
	}
	defer smaps.Close()
	all, err := cleanMappings(smaps, path)
	for _, m := range all {
		// MADV_DONTNEED of a private mapping of a file: the next access maps
		// the file's page again (madvise(2)).
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_DONTNEED); errno != 0 {
			err = errors.Join(err, fmt.Errorf("give back pages of %s: madvise: %w", path, errno))
		}
	}
	return err
}

// mapping is a range of addresses.
type mapping struct{ start, end uintptr }

// cleanMappings finds read-only mappings of a file, in the format of
// /proc/PID/smaps, without modified pages. Modified pages would be lost: the
// loader of a dynamic program writes to some before it makes them read-only.
func cleanMappings(smaps io.Reader, path string) ([]mapping, error) {
	var found []mapping
	var at mapping
	ours := false
	for in := bufio.NewScanner(smaps); ; {
		if !in.Scan() {
			return found, in.Err()
		}
		line := in.Text()
		if m, perms, file, ok := parseMapping(line); ok {
			at, ours = m, file == path && !strings.Contains(perms, "w")
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		if ours && name == "Anonymous" && strings.TrimSpace(value) == "0 kB" {
			found = append(found, at)
		}
	}
}

// parseMapping reads the first line of a mapping: START-END PERMS OFFSET
// DEVICE INODE PATH.
func parseMapping(line string) (m mapping, perms, path string, ok bool) {
	start, rest, ok1 := strings.Cut(line, "-")
	end, rest, ok2 := strings.Cut(rest, " ")
	from, err1 := strconv.ParseUint(start, 16, 64)
	to, err2 := strconv.ParseUint(end, 16, 64)
	if !ok1 || !ok2 || err1 != nil || err2 != nil {
		return m, "", "", false
	}
	perms, rest, _ = strings.Cut(rest, " ")
	if i := strings.IndexByte(rest, '/'); i >= 0 { // a path may have spaces
		path = rest[i:]
	}
	return mapping{uintptr(from), uintptr(to)}, perms, path, true
}
