package wait

import (
	"context"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// look is how often a wait for a pipe's writer looks at its context.
const look = 100 * time.Millisecond

// Open opens a file for reading. For a pipe, it waits for a writer until ctx
// ends, and so do reads, which fail then.
func Open(ctx context.Context, path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.Mode().Type() == fs.ModeNamedPipe {
		context.AfterFunc(ctx, func() { file.Close() })
		err = forWriter(ctx, file)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// forWriter waits until there is something to read, or never will be. A pipe
// that never had a writer says neither: fs/pipe.c, pipe_poll.
func forWriter(ctx context.Context, pipe *os.File) error {
	raw, err := pipe.SyscallConn()
	if err != nil {
		return err
	}
	for {
		var ready int
		var failed error
		err := raw.Control(func(fd uintptr) {
			ready, failed = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(look.Milliseconds()))
		})
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		case failed != nil && failed != unix.EINTR:
			return failed
		case ready > 0:
			return nil
		}
	}
}
