package recording

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
)

// minimum is the room in bytes that a new file gets in any case.
const minimum = 1 << 20

// makeRoom deletes the oldest recordings with the prefix until at most that
// many files, of at most total bytes, remain. It returns the remaining bytes.
func makeRoom(prefix string, files int, total int64) (kept int64, err error) {
	dir, base := filepath.Split(prefix)
	entries, err := os.ReadDir(cmp.Or(dir, "."))
	if err != nil {
		return 0, fmt.Errorf("record: %w", err)
	}
	name := regexp.MustCompile(`^` + regexp.QuoteMeta(base) + `_([0-9]+)_([0-9]+)\.scap(\` + partial + `)?$`)
	var old []recording
	for _, e := range entries {
		m := name.FindStringSubmatch(e.Name())
		info, err := e.Info()
		if m == nil || err != nil || !info.Mode().IsRegular() || !own(info) {
			continue
		}
		old = append(old, recording{filepath.Join(dir, e.Name()), info.Size(), info.ModTime().UnixNano()})
		kept += info.Size()
	}
	slices.SortFunc(old, func(a, b recording) int { return int(min(max(a.time-b.time, -1), 1)) })
	for len(old) > 0 && (len(old) > files || kept > total) {
		if err := os.Remove(old[0].path); err != nil {
			return 0, fmt.Errorf("record: delete an old recording: %w", err)
		}
		kept -= old[0].size
		old = old[1:]
	}
	return kept, nil
}

// own says whether the file is ours: in /tmp anyone can make one of that name.
func own(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid()
}

// recording is a file of earlier.
type recording struct {
	path string
	size int64
	time int64 // of its last change, ns since the epoch
}
