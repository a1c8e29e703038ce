// Package artifact describes the files, links and directories that actions create
// on a host. Each is identified by path, kind, inode and content, so that undoing
// removes nothing else: artifacts that were changed, replaced or filled by others
// are kept and reported.
package artifact

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Kind is the kind of an artifact.
type Kind string

const (
	File      Kind = "file"      // a regular file of this user's
	Link      Kind = "link"      // a symbolic link
	Name      Kind = "name"      // a hard link to a file that was there before
	Directory Kind = "directory" // of this user's
)

// Artifact is one thing on the host.
type Artifact struct {
	Path string `json:"path"`
	Kind Kind   `json:"kind"`
	// Content is the content of a file, the target of a link, the other path of
	// a name. A file that holds only a prefix of it is the same one: it is being
	// written.
	Content string `json:"content,omitempty"`
	// CopyOf is the file that is copied, in place of Content.
	CopyOf string `json:"copy_of,omitempty"`
	// Dev and Inode identify the made artifact; 0 while it is only announced.
	Dev   uint64 `json:"dev,omitempty"`
	Inode uint64 `json:"inode,omitempty"`
}

// Left is the error of an artifact that was not removed, since it was replaced
// or has foreign content.
type Left struct{ Path, Why string }

func (e *Left) Error() string { return fmt.Sprintf("left %s: %s", e.Path, e.Why) }

// Identify notes which inode the artifact is, once it was made.
func (a *Artifact) Identify() error {
	var st unix.Stat_t
	if err := unix.Lstat(a.Path, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: a.Path, Err: err}
	}
	a.Dev, a.Inode = st.Dev, st.Ino
	return nil
}

// Remove takes the artifact away and says whether it was there. Its error is a
// *Left if the path holds something else.
func (a Artifact) Remove() (bool, error) {
	var st unix.Stat_t
	switch err := unix.Lstat(a.Path, &st); {
	case err == unix.ENOENT || err == unix.ENOTDIR:
		return false, nil
	case err != nil:
		return false, &fs.PathError{Op: "lstat", Path: a.Path, Err: err}
	}
	if why, err := a.differs(&st); err != nil {
		return false, err
	} else if why != "" {
		return false, &Left{a.Path, why}
	}
	if a.Kind == Directory {
		return a.rmdir()
	}
	err := os.Remove(a.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// differs says how the file at the path differs from the artifact, "" if it
// does not.
func (a Artifact) differs(st *unix.Stat_t) (string, error) {
	switch {
	case a.Inode != 0 && (st.Dev != a.Dev || st.Ino != a.Inode):
		return "it was replaced: another inode", nil
	case st.Mode&unix.S_IFMT != formats[a.Kind]:
		return fmt.Sprintf("it is no %s any more", a.Kind), nil
	case a.Kind != Name && int(st.Uid) != os.Geteuid():
		return fmt.Sprintf("it belongs to user %d", st.Uid), nil
	}
	var same bool
	var err error
	switch a.Kind {
	case File:
		same, err = a.holdsContent(st)
	case Link:
		var target string
		target, err = os.Readlink(a.Path)
		same = target == a.Content
	case Name:
		var other unix.Stat_t
		err = unix.Lstat(a.Content, &other)
		same = other.Dev == st.Dev && other.Ino == st.Ino
	case Directory:
		same = true // its entries are checked on removal
	}
	if err != nil || same {
		return "", err
	}
	return "its content is not what the run wrote", nil
}

var formats = map[Kind]uint32{File: unix.S_IFREG, Link: unix.S_IFLNK, Name: unix.S_IFREG, Directory: unix.S_IFDIR}

func (a Artifact) rmdir() (bool, error) {
	switch err := unix.Rmdir(a.Path); {
	case err == nil:
		return true, nil
	case err == unix.ENOENT:
		return false, nil
	case err != unix.ENOTEMPTY:
		return false, &fs.PathError{Op: "rmdir", Path: a.Path, Err: err}
	}
	held, err := os.ReadDir(a.Path)
	if err != nil || len(held) == 0 {
		return false, errors.Join(&Left{a.Path, "it is not empty"}, err)
	}
	return false, &Left{a.Path, fmt.Sprintf("it holds %q, which the run did not make", held[0].Name())}
}
