// Package regular reads files that may have been made to do harm: results of
// other people's runs. A pipe is not waited for, a device not read for ever, and
// a text not taken whose few bytes would stand for much memory.
package regular

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// What a result may have at most. Runs of many hours have some megabytes, and
// some hundred thousand values; a value may be a round of 2 KiB in memory that
// is written as "{}".
const (
	maxBytes  = 64 << 20
	maxValues = 1 << 20
)

// ReadJSON returns the text of a JSON file.
func ReadJSON(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	text, err := io.ReadAll(io.LimitReader(file, maxBytes+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxBytes:
		return nil, fmt.Errorf("%s has more than %d MiB: no result", path, maxBytes>>20)
	case bytes.Count(text, []byte(",")) >= maxValues:
		return nil, errors.New(path + " has more than a million values: no result")
	}
	return text, nil
}
