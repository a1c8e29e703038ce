package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/linux/follow"
)

// openFollowed makes a source of a growing log: it reads lines appended from
// now on, also after the file is truncated or replaced.
func (s *Source) openFollowed(path string) error {
	if !filepath.IsAbs(path) {
		return errors.New("expected file:///ABSOLUTE/PATH")
	}
	changes, err := watchDirectory(filepath.Dir(path))
	if err != nil {
		return err
	}
	log, err := follow.Open(path, true)
	if err != nil {
		return errors.Join(err, changes.Close())
	}
	log.MaxLine, log.Cut = s.in.limits.BodyBytes, true
	s.close = changes.Close
	s.serve = func(ctx context.Context) error {
		defer log.Close()
		defer changes.Close()
		defer context.AfterFunc(ctx, func() { changes.Close() })()
		log.TooLong = func() { s.in.takeLine(ctx, nil, true) }
		buf := make([]byte, 16<<10)
		for ctx.Err() == nil {
			if err := log.Poll(func(line []byte) { s.in.takeLine(ctx, line, false) }); err != nil {
				return err
			}
			if _, err := changes.Read(buf); err != nil && ctx.Err() == nil {
				return fmt.Errorf("follow %s: %w", path, err)
			}
		}
		return nil
	}
	return nil
}

// watchDirectory is an inotify descriptor: a read returns when something in the
// directory was written, made, moved or removed.
func watchDirectory(dir string) (*os.File, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w; the limit is fs.inotify.max_user_instances", err)
	}
	f := os.NewFile(uintptr(fd), "inotify")
	const mask = unix.IN_MODIFY | unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE
	if _, err := unix.InotifyAddWatch(fd, dir, mask); err != nil {
		return nil, errors.Join(fmt.Errorf("watch %s: %w", dir, err), f.Close())
	}
	return f, nil
}
