package profile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Output is a file that a profile will be written to. It has a temporary name
// until then: an existing file stays, and a directory that is not writable is
// reported before the profile is made.
type Output struct {
	path string // "": write to the existing device or pipe
	file *os.File
}

// Create makes an output.
func Create(path string) (*Output, error) {
	mode := os.FileMode(0o644)
	info, err := os.Stat(path)
	switch {
	case err == nil && !info.Mode().IsRegular():
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return nil, fmt.Errorf("profile: %w", err)
		}
		return &Output{file: file}, nil
	case err == nil:
		mode = info.Mode().Perm()
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return nil, fmt.Errorf("profile: %w", err)
		}
	}
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.new")
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", path, err)
	}
	o := &Output{path, file}
	if err := file.Chmod(mode); err != nil {
		return nil, errors.Join(fmt.Errorf("profile %s: %w", path, err), o.Discard())
	}
	return o, nil
}

// Write writes the profile and gives the file its name.
func (o *Output) Write(p *Profile) error {
	err := errors.Join(p.Write(o.file), o.file.Close())
	if o.path == "" {
		return err
	}
	if err == nil {
		err = os.Rename(o.file.Name(), o.path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("profile %s: %w", o.path, err), os.Remove(o.file.Name()))
	}
	return nil
}

// Discard replaces Write if there is no profile.
func (o *Output) Discard() error {
	err := o.file.Close()
	if o.path != "" {
		err = errors.Join(err, os.Remove(o.file.Name()))
	}
	return err
}
