package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/peregrine-sec/peregrine/internal/sensor/audit/record"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// maxListBytes bounds a file that is one JSON value over many lines.
const maxListBytes = 256 << 20

// openFiles makes a source of a file, or of all files in a directory, the one
// that was modified first first. It ends with them.
func (s *Source) openFiles(path string) error {
	paths, err := filesAt(path)
	if err != nil {
		return err
	}
	s.serve = func(ctx context.Context) error {
		for _, path := range paths {
			if err := s.in.readFile(ctx, path); err != nil && ctx.Err() == nil {
				return fmt.Errorf("read audit events: %w", err)
			}
		}
		return nil
	}
	return nil
}

func filesAt(path string) ([]string, error) {
	info, err := os.Stat(path)
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
	modified := map[string]int64{}
	var paths []string
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(path, e.Name())) // links are followed
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		name := filepath.Join(path, e.Name())
		paths, modified[name] = append(paths, name), info.ModTime().UnixNano()
	}
	slices.SortFunc(paths, func(a, b string) int { return cmp.Or(cmp.Compare(modified[a], modified[b]), cmp.Compare(a, b)) })
	return paths, nil
}

// readFile takes all events of a file: one JSON value a line, or a single one
// over many lines.
func (in *intake) readFile(ctx context.Context, path string) error {
	f, err := wait.Open(ctx, path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 64<<10)
	lines := lineReader{limit: in.limits.BodyBytes}
	for first := true; ctx.Err() == nil; first = false {
		line, err := lines.next(r)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: %w", path, err)
		}
		if first && !lines.tooLong && record.Incomplete(line) {
			return in.readList(ctx, line, r, path)
		}
		in.takeLine(ctx, line, lines.tooLong)
		if err != nil {
			return nil
		}
	}
	return nil
}

// readList takes the events of a value that starts with the given line.
func (in *intake) readList(ctx context.Context, start []byte, r io.Reader, path string) error {
	text, err := io.ReadAll(io.LimitReader(io.MultiReader(bytes.NewReader(start), r), maxListBytes))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if len(text) >= maxListBytes {
		return fmt.Errorf("%s: one value of more than %d bytes", path, maxListBytes)
	}
	b := &Body{text: text, done: make(chan struct{}, 1)}
	if err := in.match(ctx, b); err != nil {
		in.log.Warn("audit events were skipped", "file", path, "error", err)
	}
	return nil
}

// takeLine takes the events of one line.
func (in *intake) takeLine(ctx context.Context, line []byte, tooLong bool) {
	if tooLong {
		in.counted.oversized.Add(1)
		in.tell(fmt.Errorf("a line has more than %d bytes", in.limits.BodyBytes))
		return
	}
	if line = bytes.TrimSpace(line); len(line) == 0 {
		return
	}
	b := in.pool.Get().(*Body)
	defer in.release(b)
	b.text = append(b.text[:0], line...)
	_ = in.match(ctx, b) // errors have been counted and reported
}

// lineReader reads lines up to a limit; of longer ones it keeps nothing.
type lineReader struct {
	limit   int
	line    []byte
	size    int // of the whole line, including the part not kept
	tooLong bool
}

// next returns the next line, with the newline unless it is the file's last.
// The line is valid until the following call.
func (l *lineReader) next(r *bufio.Reader) ([]byte, error) {
	l.line, l.size, l.tooLong = l.line[:0], 0, false
	for {
		part, err := r.ReadSlice('\n')
		l.size += len(part)
		if l.tooLong = l.size > l.limit; !l.tooLong {
			l.line = append(l.line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return l.line, err
		}
	}
}
