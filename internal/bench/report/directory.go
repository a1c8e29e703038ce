package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/match"
	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/linux/regular"
	"github.com/peregrine-sec/peregrine/internal/rundir"
)

// Directory keeps the raw data of a run:
//
//	run.json          the Run: everything shown, once more
//	report.html       the Run for a browser
//	rounds.jsonl      one bench.Round per line, as soon as it is done
//	instances.jsonl   one line per action instance, with its alert
//	strays.jsonl      alerts that were not the expected one of an action
//	sensor-stats.json the sensor's own stats, if bench started it
type Directory struct {
	Path      string
	rounds    *stream
	instances *stream
	strays    *stream
}

var _ bench.Recorder = (*Directory)(nil)

// stream is a buffered file that whole records are appended to.
type stream struct {
	f    *os.File
	w    *bufio.Writer
	kept int64 // bytes of records
}

// settle ends a record. One that does not fit is taken back: the next may.
func (s *stream) settle(err error) error {
	if err = errors.Join(err, s.w.Flush()); err == nil {
		s.kept, err = s.f.Seek(0, io.SeekCurrent)
		return err
	}
	s.w.Reset(s.f)
	_, serr := s.f.Seek(s.kept, io.SeekStart)
	return errors.Join(err, serr, s.f.Truncate(s.kept))
}

// resultFile is the file that marks a run.
const resultFile = "run.json"

// NewDirectory makes the directory, which must not hold a run yet.
func NewDirectory(path string) (*Directory, error) {
	if _, err := rundir.Create(path, resultFile); err != nil {
		return nil, err
	}
	d := &Directory{Path: path}
	for name, s := range map[string]**stream{"rounds.jsonl": &d.rounds, "instances.jsonl": &d.instances, "strays.jsonl": &d.strays} {
		f, err := os.OpenFile(filepath.Join(path, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("run directory: %w", err), d.Close())
		}
		*s = &stream{f: f, w: bufio.NewWriterSize(f, 1<<20)}
	}
	return d, nil
}

// Record implements bench.Recorder. Everything of the round is on disk when it
// returns; after an error, nothing is in the files for which there was no room.
func (d *Directory) Record(r *bench.Round, actions []match.Action, x *match.Index, strays []bench.Stray) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = d.rounds.w.Write(append(line, '\n'))
	errs := []error{d.rounds.settle(err)}
	err = nil
	var buf []byte
	x.Each(func(f match.Fate) {
		if err == nil {
			buf = appendFate(buf[:0], r.Number, actions, f)
			_, err = d.instances.w.Write(buf)
		}
	})
	errs = append(errs, d.instances.settle(err))
	err = nil
	e := json.NewEncoder(d.strays.w)
	for i := range strays {
		if err == nil {
			err = e.Encode(struct {
				Round int `json:"round"`
				bench.Stray
			}{r.Number, strays[i]})
		}
	}
	return errors.Join(append(errs, d.strays.settle(err))...)
}

// appendFate writes one instance by hand: there may be millions. Names of
// actions need no escapes.
func appendFate(b []byte, round int, actions []match.Action, f match.Fate) []byte {
	field := func(name string, v int64) {
		b = append(b, `,"`...)
		b = append(b, name...)
		b = append(b, `":`...)
		b = strconv.AppendInt(b, v, 10)
	}
	b = append(b, `{"round":`...)
	b = strconv.AppendInt(b, int64(round), 10)
	b = append(b, `,"action":"`...)
	b = append(b, actions[f.Action].Name...)
	b = append(b, `","state":"`...)
	b = append(b, f.State...)
	b = append(b, '"')
	field("worker", int64(f.Worker))
	field("tid", int64(f.TID))
	field("planned", f.Planned)
	field("start", f.Start)
	field("end", f.End)
	if f.Errno != 0 {
		field("errno", int64(f.Errno))
	}
	if f.Received != 0 {
		field("event", f.Event)
		field("received", f.Received)
	}
	return append(b, "}\n"...)
}

// Finish writes run.json, and report.html if there is a round to show.
func (d *Directory) Finish(r *Run) error {
	err := d.write(resultFile, r, "json")
	if len(r.Rounds) > 0 {
		err = errors.Join(err, d.write("report.html", r, "html"))
	}
	return err
}

func (d *Directory) write(name string, r *Run, format string) error {
	return rundir.Write(filepath.Join(d.Path, name), func(w io.Writer) error { return r.Write(w, format) })
}

// Close closes the files.
func (d *Directory) Close() error {
	var errs []error
	for _, s := range []*stream{d.rounds, d.instances, d.strays} {
		if s != nil {
			errs = append(errs, s.w.Flush(), s.f.Close())
		}
	}
	return errors.Join(errs...)
}

// Read reads a run directory's run.json, to show it again.
func Read(path string) (*Run, error) {
	var r Run
	text, err := regular.ReadJSON(filepath.Join(path, resultFile), &r)
	if err != nil {
		return nil, fmt.Errorf("expected the directory of a bench run: %w", err)
	}
	if err := human.ParseJSON(text, &r); err != nil {
		return nil, fmt.Errorf("run directory %s: %w", path, err)
	}
	human.Texts(&r)
	if r.Schema > bench.RoundSchema {
		return nil, fmt.Errorf("run directory %s: its schema is %d, this program knows up to %d", path, r.Schema, bench.RoundSchema)
	}
	return &r, nil
}
