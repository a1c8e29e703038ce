package artifact

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// holdsContent says whether the file st holds the artifact's content, or a
// prefix of it.
func (a Artifact) holdsContent(st *unix.Stat_t) (bool, error) {
	switch {
	case a.CopyOf == "" && st.Size > int64(len(a.Content)):
		return false, nil
	case st.Size == 0:
		return true, nil
	}
	file, err := open(a.Path, st)
	if errors.Is(err, unix.EMFILE) && a.Inode != 0 {
		return true, nil // a run that has used up its descriptors must clean up as well
	}
	if err != nil {
		return false, err
	}
	defer file.Close()
	if a.CopyOf == "" {
		return startsWith(strings.NewReader(a.Content), file)
	}
	original, err := os.Open(a.CopyOf)
	if err != nil {
		return false, nil // undecided: leave it to a person
	}
	defer original.Close()
	return startsWith(original, file)
}

// open opens the file that st is of, whatever else may be there by now.
func open(path string, st *unix.Stat_t) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	var now unix.Stat_t
	err = unix.Fstat(int(file.Fd()), &now)
	if err == nil && (now.Dev != st.Dev || now.Ino != st.Ino) {
		err = &Left{path, "it was replaced meanwhile"}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// startsWith says whether whole begins with all of part.
func startsWith(whole, part io.Reader) (bool, error) {
	a, b := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, err := io.ReadFull(part, a)
		if m, werr := io.ReadFull(whole, b[:n]); n > 0 && (werr != nil || !bytes.Equal(a[:n], b[:m])) {
			return false, nil
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return true, nil
		default:
			return false, err
		}
	}
}
