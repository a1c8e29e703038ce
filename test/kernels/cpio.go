package main

import (
	"fmt"
	"io"
	"path"
)

// cpio writes an archive of the format that the kernel unpacks as its first
// file system (Documentation/driver-api/early-userspace/buffer-format.rst):
// "newc", headers of 8-digit hexadecimal numbers, everything aligned to 4.
type cpio struct {
	w    io.Writer
	ino  int
	dirs map[string]bool
	err  error
}

func newCPIO(w io.Writer) *cpio { return &cpio{w: w, dirs: map[string]bool{".": true}} }

const (
	typeFile    = 0o100000
	typeDir     = 0o040000
	typeSymlink = 0o120000
	typeChar    = 0o020000
)

func (c *cpio) entry(name string, mode, major, minor int, content []byte) {
	if c.err != nil {
		return
	}
	c.ino++
	// magic ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
	header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		c.ino, mode, 0, 0, 1, 0, len(content), 0, 0, major, minor, len(name)+1, 0) + name + "\x00"
	for _, part := range [][]byte{[]byte(header), content} {
		if _, err := c.w.Write(part); err != nil {
			c.err = err
			return
		}
		if _, err := c.w.Write(make([]byte, -len(part)&3)); err != nil {
			c.err = err
			return
		}
	}
}

// dir adds a directory and those above it, once.
func (c *cpio) dir(name string) {
	if c.dirs[name] {
		return
	}
	c.dir(path.Dir(name))
	c.dirs[name] = true
	c.entry(name, typeDir|0o755, 0, 0, nil)
}

func (c *cpio) file(name string, mode int, content []byte) {
	c.dir(path.Dir(name))
	c.entry(name, typeFile|mode, 0, 0, content)
}

func (c *cpio) symlink(name, target string) { c.entry(name, typeSymlink|0o777, 0, 0, []byte(target)) }

func (c *cpio) device(name string, major, minor int) {
	c.dir(path.Dir(name))
	c.entry(name, typeChar|0o600, major, minor, nil)
}

// close ends the archive.
func (c *cpio) close() error {
	c.entry("TRAILER!!!", 0, 0, 0, nil)
	return c.err
}
