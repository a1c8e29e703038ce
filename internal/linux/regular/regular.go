// Package regular reads untrusted files, such as the results of other people's
// runs and the output of another user's sensor. It does not block on pipes, reads
// no devices, and rejects texts whose few bytes would expand to much memory.
package regular

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"

	"golang.org/x/sys/unix"
)

// maxBytes bounds a result. Those of many hours have some megabytes.
const maxBytes = 64 << 20

// Open opens a file for reading, and nothing else: a pipe, a device or a
// directory is an error at once.
func Open(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// ReadJSON returns the text of a JSON file for decoding into the value that
// into points to.
func ReadJSON(path string, into any) ([]byte, error) {
	file, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxBytes {
		return nil, fmt.Errorf("%s has more than %d MiB: too large for a result", path, maxBytes>>20)
	}
	weighed := scale{in: json.NewDecoder(bytes.NewReader(text)), left: maxMemory}
	if err := weighed.take(reflect.TypeOf(into)); errors.Is(err, errHeavy) || errors.Is(err, errDeep) {
		return nil, fmt.Errorf("%s %w", path, err)
	}
	return text, nil // the decoder reports other errors better
}
