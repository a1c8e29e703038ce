package sensor

import (
	"errors"
	"fmt"
	"os"
	"strconv"
)

// writePIDFile writes this process's id to a file, and returns a function that
// removes the file at the end, unless another process has taken it.
func writePIDFile(path string) (remove func(), err error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("write pid file: %s is not a regular file; name one, or a new one", path)
	}
	fresh := errors.Is(err, os.ErrNotExist)
	text := strconv.Itoa(os.Getpid()) + "\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		if fresh {
			err = errors.Join(err, ignoreGone(os.Remove(path)))
		}
		return nil, fmt.Errorf("write pid file: %w", err)
	}
	return func() {
		if now, err := os.ReadFile(path); err == nil && string(now) == text {
			_ = os.Remove(path) // the sensor ends; a stale file is no reason to fail
		}
	}, nil
}

func ignoreGone(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
