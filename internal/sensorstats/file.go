package sensorstats

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/peregrine-sec/peregrine/internal/linux/follow"
)

// sequence turns the lines of one sensor into samples that fit each other.
type sequence struct {
	prev Sample
	any  bool
}

// add completes s from the samples before it.
func (q *sequence) add(s Sample, hasDelta bool) Sample {
	prev, first := q.prev, !q.any
	q.prev, q.any = s, true
	switch {
	case first:
	case s.Number <= prev.Number || s.Cur.before(prev.Cur):
		// The first sample of a new run: its delta, if told, is since the
		// start of the process, not since our previous sample.
		s.Restarted = true
	default:
		s.Missed = s.Number - prev.Number - 1
		if s.Missed > 0 || !hasDelta {
			s.Delta = s.Cur.Sub(prev.Cur)
		}
		if s.Time > prev.Time && prev.Time != 0 {
			s.Elapsed = s.Time - prev.Time
		}
	}
	return s
}

// File is a Reader of a stats file of any generation while the sensor writes
// it.
type File struct {
	follow *follow.File
	seq    sequence
}

var _ Reader = (*File)(nil)

// OpenFile follows the stats file at path, which need not exist yet. With
// fromEnd, the samples that are there already are skipped.
func OpenFile(path string, fromEnd bool) (*File, error) {
	f, err := follow.Open(path, fromEnd)
	if err != nil {
		return nil, fmt.Errorf("open stats file: %w", err)
	}
	return &File{follow: f}, nil
}

// Poll implements Reader. Samples without a time of their own are stamped with
// the file's modification time: that of the newest line, exact to a tick of
// the kernel's clock, whenever the caller polls. Malformed lines are reported
// joined in the error, after the good samples.
func (f *File) Poll(now time.Time) ([]Sample, error) {
	var samples []Sample
	var bad []error
	err := f.follow.Poll(func(text []byte) {
		s, hasDelta, err := parseLine(text)
		switch {
		case errors.Is(err, errOtherSource):
			return
		case err != nil:
			bad = append(bad, err)
			return
		}
		if !s.Stamped {
			s.Time = f.stamp(now)
		}
		samples = append(samples, f.seq.add(s, hasDelta))
	})
	return samples, errors.Join(append(bad, err)...)
}

// stamp is the time of a line that has none.
func (f *File) stamp(now time.Time) int64 {
	if m := f.follow.ModTime(); !m.IsZero() && m.Before(now) {
		return m.UnixNano()
	}
	return now.UnixNano()
}

func (f *File) Close() error { return f.follow.Close() }

// maxLine bounds a line; the metrics of a sensor with many rules have some 100
// KiB.
const maxLine = 1 << 20

// ReadAll reads a whole stats file of any generation, for a look at it after
// the fact. A sample without a time has Time and Elapsed 0. An unfinished last
// line is left out; any other malformed line is an error that names it, given
// together with the samples before it.
func ReadAll(r io.Reader) ([]Sample, error) {
	var samples []Sample
	var seq sequence
	in := bufio.NewReaderSize(r, maxLine)
	for number := 1; ; number++ {
		text, readErr := in.ReadSlice('\n')
		switch {
		case errors.Is(readErr, bufio.ErrBufferFull):
			return samples, fmt.Errorf("stats line %d: more than %d KiB; is it the right file?", number, maxLine>>10)
		case readErr != nil && !errors.Is(readErr, io.EOF):
			return samples, fmt.Errorf("read stats: %w", readErr)
		}
		s, hasDelta, err := parseLine(text)
		switch {
		case err == nil:
			samples = append(samples, seq.add(s, hasDelta))
		case errors.Is(err, errOtherSource):
		case readErr == nil:
			return samples, fmt.Errorf("stats line %d: %w", number, err)
		}
		if readErr != nil {
			return samples, nil
		}
	}
}
