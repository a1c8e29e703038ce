package field

import (
	"bytes"
	"strings"
)

// MaxPath is the longest path that Falco joins, base and slash included; a
// longer one is replaced by tooLong. The path that the kernel resolved has no
// such limit.
const MaxPath = 1024

const tooLong = "/DIR_TOO_LONG/FILENAME_TOO_LONG"

// appendJoined appends path, taken as relative to base if it is not absolute,
// without empty, "." and ".." components.
func appendJoined(dst []byte, base, path string) []byte {
	if strings.HasPrefix(path, "/") {
		base = ""
	}
	if len(base)+len(path)+1 > MaxPath {
		return append(dst, tooLong...)
	}
	start := len(dst)
	if base != "" && base[0] != '/' { // unknownBase
		dst = append(dst, base...)
		start = len(dst)
		return appendRelative(dst, start, path)
	}
	dst = appendClean(dst, start, base)
	dst = appendClean(dst, start, path)
	if len(dst) == start {
		dst = append(dst, '/')
	}
	return dst
}

// appendClean appends the components of path, each after a slash; ".." takes
// one away again, but none before start.
func appendClean(dst []byte, start int, path string) []byte {
	for path != "" {
		var part string
		part, path, _ = strings.Cut(path, "/")
		switch part {
		case "", ".":
		case "..":
			if i := bytes.LastIndexByte(dst[start:], '/'); i >= 0 {
				dst = dst[:start+i]
			}
		default:
			dst = append(append(dst, '/'), part...)
		}
	}
	return dst
}

// appendRelative is appendClean for a path whose directory is not known: the
// first component follows without a slash.
func appendRelative(dst []byte, start int, path string) []byte {
	dst = appendClean(dst, start, path)
	if len(dst) > start {
		copy(dst[start:], dst[start+1:])
		dst = dst[:len(dst)-1]
	}
	return dst
}

// isClean says whether path is absolute and appendJoined would not change it.
func isClean(path string) bool {
	n := len(path)
	if n == 0 || n+1 > MaxPath || path[0] != '/' {
		return false
	}
	if n > 1 && path[n-1] == '/' {
		return false
	}
	for i := 0; i+1 < n; i++ {
		if path[i] != '/' {
			continue
		}
		rest := path[i+1:]
		if rest[0] == '/' || (rest[0] == '.' && isDots(rest)) {
			return false
		}
	}
	return true
}

// isDots says whether the first component of path is "." or "..".
func isDots(path string) bool {
	for i := range min(len(path), 3) {
		if path[i] == '/' {
			return true
		}
		if path[i] != '.' {
			return false
		}
	}
	return len(path) < 3
}

// joined is appendJoined in the event's scratch memory, or path itself where
// it needs no change.
func (c *Context) joined(base, path string) string {
	if isClean(path) {
		return path
	}
	return c.keep(appendJoined(c.buf, base, path))
}
