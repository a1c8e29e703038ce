package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/linux/anyfile"
)

// Files reads the files of a configuration, and remembers their content, to
// detect changes of content, not of times. It also remembers those of a refused
// configuration: a correction of one is a change. Nil is a Files without
// memory. It is not safe for concurrent use.
type Files struct {
	seen     map[string]sight  // by path, since restart
	fleeting map[string][]byte // content of files that can be read only once
}

// sight is the state of a path when it was read.
type sight struct {
	state string
	limit int // of a file's size; 0: a directory, or nothing
}

// NewFiles returns a Files that has read nothing.
func NewFiles() *Files { return &Files{seen: map[string]sight{}, fleeting: map[string][]byte{}} }

// restart forgets all reads, except the content of pipes and devices.
func (f *Files) restart() {
	if f != nil {
		clear(f.seen)
	}
}

// Read reads a file: see anyfile.Read. A pipe or device is read at the first call;
// later ones return the same.
func (f *Files) Read(path string, limit int) ([]byte, error) {
	if f == nil {
		return anyfile.Read(path, limit)
	}
	if content, ok := f.fleeting[path]; ok {
		return content, nil
	}
	content, fleeting, err := anyfile.ReadFleeting(path, limit)
	switch {
	case fleeting && err == nil:
		f.fleeting[path] = content
	case !fleeting:
		f.seen[path] = sight{state(content, err), limit}
	}
	return content, err
}

// state is a short text that differs if the content or the error does.
func state(content []byte, err error) string {
	if err != nil {
		return err.Error()
	}
	return Sum(content)
}

// Sum is the SHA-256 of content, in hex.
func Sum(content []byte) string {
	return fmt.Sprintf("%x", sha256.Sum256(content))
}

// Below is path itself, or the YAML files in the directory path in lexical
// order; nothing if path does not exist.
func (f *Files) Below(path string) ([]string, error) {
	files, err := filesBelow(path)
	if f != nil && !slices.Equal(files, []string{path}) {
		f.seen[path] = sight{state: listing(files, err)}
	}
	return files, err
}

func listing(files []string, err error) string {
	if err != nil {
		return err.Error()
	}
	return "directory:" + strings.Join(files, "\n")
}

// Paths are the files and directories whose change can be told.
func (f *Files) Paths() []string {
	return slices.Sorted(maps.Keys(f.seen))
}

// Changed says whether any path differs from its state when read.
func (f *Files) Changed() bool {
	for path, was := range f.seen {
		if look(path, was.limit) != was.state {
			return true
		}
	}
	return false
}

func look(path string, limit int) string {
	if limit == 0 {
		return listing(filesBelow(path))
	}
	content, _, err := anyfile.ReadFleeting(path, limit)
	return state(content, err)
}

// filesBelow is Below for one moment.
func filesBelow(path string) ([]string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		ext := filepath.Ext(e.Name())
		file := filepath.Join(path, e.Name())
		if ext != ".yaml" && ext != ".yml" || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		// Stat, not the entry's type: Kubernetes mounts files as links.
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			files = append(files, file)
		}
	}
	return files, nil
}
