package config

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// watchMask are the inotify events that may mean new content. A file is
// watched through its directory, since editors and package managers replace
// it, and Kubernetes swaps the link ..data beside it.
const watchMask = unix.IN_CLOSE_WRITE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_CREATE | unix.IN_DELETE

// Watch calls changed when it has started to watch, and whenever files at paths
// (or in them, for directories) may have been written and then were quiet for
// the debounce time; written tells the two apart. It returns when ctx ends, with
// an error only if watching is impossible. Paths whose directory does not exist
// are left out.
func Watch(ctx context.Context, paths []string, debounce time.Duration, changed func(written bool)) error {
	w, err := newWatcher(paths)
	if err != nil {
		return fmt.Errorf("watch configuration: %w", err)
	}
	defer context.AfterFunc(ctx, func() { w.file.Close() })()
	hits := make(chan struct{}, 1)
	failed := make(chan error, 1)
	go func() { failed <- w.read(hits) }()

	quiet, written := time.NewTimer(debounce), false // for changes before the watch
	for {
		select {
		case <-hits:
			written = true
			quiet.Reset(debounce)
		case <-quiet.C:
			changed(written)
		case err := <-failed:
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("watch configuration: %w", err)
		}
	}
}

// watcher is an inotify descriptor and the names of interest by watch: nil
// means every name in that directory.
type watcher struct {
	file  *os.File
	names map[int32]map[string]bool
}

func newWatcher(paths []string) (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w; the limit is fs.inotify.max_user_instances", err)
	}
	w := &watcher{file: os.NewFile(uintptr(fd), "inotify"), names: map[int32]map[string]bool{}}
	for _, path := range paths {
		if err := w.add(fd, path); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
			w.file.Close()
			return nil, fmt.Errorf("%s: %w; the limit is fs.inotify.max_user_watches", path, err)
		}
	}
	return w, nil
}

// add watches the name of path in its directory, the entries of a directory,
// and the target of a link.
func (w *watcher) add(fd int, path string) error {
	err := w.watch(fd, filepath.Dir(path), map[string]bool{filepath.Base(path): true, "..data": true})
	if err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil // it may come
	}
	if info, err := os.Stat(real); err == nil && info.IsDir() {
		return w.watch(fd, real, nil)
	}
	if real != path {
		return w.watch(fd, filepath.Dir(real), map[string]bool{filepath.Base(real): true})
	}
	return nil
}

// watch adds names in dir to the watched ones; nil: all of them.
func (w *watcher) watch(fd int, dir string, names map[string]bool) error {
	wd, err := unix.InotifyAddWatch(fd, dir, watchMask)
	if err != nil {
		return err
	}
	old, seen := w.names[int32(wd)]
	switch {
	case seen && old == nil, names == nil:
		w.names[int32(wd)] = nil
	case seen:
		maps.Copy(old, names)
	default:
		w.names[int32(wd)] = names
	}
	return nil
}

// read passes on changes of interest until the descriptor is closed.
func (w *watcher) read(hits chan<- struct{}) error {
	buf := make([]byte, 64*(unix.SizeofInotifyEvent+unix.NAME_MAX+1))
	for {
		n, err := w.file.Read(buf)
		if err != nil {
			return err
		}
		if w.interesting(buf[:n]) {
			select {
			case hits <- struct{}{}:
			default:
			}
		}
	}
}

// interesting decodes struct inotify_event: inotify(7).
func (w *watcher) interesting(buf []byte) bool {
	for len(buf) >= unix.SizeofInotifyEvent {
		wd := int32(binary.NativeEndian.Uint32(buf))
		mask := binary.NativeEndian.Uint32(buf[4:])
		size := int(binary.NativeEndian.Uint32(buf[unsafe.Offsetof(unix.InotifyEvent{}.Len):]))
		end := unix.SizeofInotifyEvent + size
		if end > len(buf) {
			return true
		}
		name := unix.ByteSliceToString(buf[unix.SizeofInotifyEvent:end])
		names, known := w.names[wd]
		if mask&unix.IN_Q_OVERFLOW != 0 || known && (names == nil || names[name]) {
			return true
		}
		buf = buf[end:]
	}
	return false
}
