// Package anyfile reads the content of a path, whether a file, a device or a pipe,
// such as that of a shell's <(command), within bounds of time and memory.
package anyfile

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// MaxCertificates bounds a file of certificates: a bundle of all public
	// authorities has a quarter of it.
	MaxCertificates = 1 << 20

	// patience is how long the writer of a pipe may pause.
	patience = time.Second
)

// Read reads a file of at most limit bytes, whatever is at path: a pipe without a
// writer, a device that never ends or /proc cannot hold the program or fill its
// memory.
func Read(path string, limit int) ([]byte, error) {
	content, _, err := ReadFleeting(path, limit)
	return content, err
}

// KeyPair reads a certificate chain and its key, which may be in one PEM file.
func KeyPair(certFile, keyFile string) (tls.Certificate, error) {
	cert, err := Read(certFile, MaxCertificates)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, err := Read(keyFile, MaxCertificates)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

// ReadFleeting also says whether the next read may return other content, or none,
// without a change of the file: true of pipes, devices, and files that the kernel
// generates on read.
func ReadFleeting(path string, limit int) (content []byte, fleeting bool, err error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, false, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, false, &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		fleeting = ofKernel(fd)
	case unix.S_IFIFO, unix.S_IFCHR:
		fleeting = true
	case unix.S_IFDIR:
		return nil, false, &fs.PathError{Op: "read", Path: path, Err: unix.EISDIR}
	default:
		return nil, false, fmt.Errorf("%s is a device; expected a file", path)
	}
	if content, err = readAll(fd, limit); err != nil {
		return nil, fleeting, fmt.Errorf("read %s: %w", path, err)
	}
	return content, fleeting, nil
}

// ofKernel says whether a regular file is one of procfs, sysfs and their like.
func ofKernel(fd int) bool {
	var st unix.Statfs_t
	if unix.Fstatfs(fd, &st) != nil {
		return false
	}
	switch st.Type {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC:
		return true
	}
	return false
}

func readAll(fd, limit int) ([]byte, error) {
	var content []byte
	deadline := time.Now().Add(patience)
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN, err == nil && n == 0 && len(content) == 0:
			// A pipe whose writer has not written yet, or has not come yet.
			ended, err := awaitInput(fd, time.Until(deadline))
			if ended || err != nil {
				return content, err
			}
			continue
		case err != nil:
			return nil, err
		case n == 0:
			return content, nil
		}
		if len(content)+n > limit {
			return nil, fmt.Errorf("more than %d bytes; is it the right file?", limit)
		}
		content = append(content, buf[:n]...)
	}
}

// awaitInput waits for something to read; ended says that nothing will come.
// A named pipe that had no writer yet says nothing at all: fs/pipe.c,
// pipe_poll; an empty file and /dev/null are always ready.
func awaitInput(fd int, d time.Duration) (ended bool, err error) {
	p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	n, err := unix.Poll(p, int(max(0, d.Milliseconds())))
	switch {
	case errors.Is(err, unix.EINTR):
		return false, nil
	case err != nil:
		return false, err
	case n == 0:
		return false, fmt.Errorf("no data from this pipe for %v: %w", patience, os.ErrDeadlineExceeded)
	}
	var queued int // TIOCINQ is FIONREAD: asm-generic/ioctls.h
	if p[0].Revents&unix.POLLIN != 0 {
		if queued, err = unix.IoctlGetInt(fd, unix.TIOCINQ); err == nil && queued > 0 {
			return false, nil
		}
		return true, nil
	}
	return true, nil // POLLHUP: the writer has gone
}
