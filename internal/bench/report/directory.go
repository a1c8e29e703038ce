package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/linux/regular"

	"github.com/peregrine-sec/peregrine/internal/bench"
	"github.com/peregrine-sec/peregrine/internal/bench/match"
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

// stream is a buffered file that is appended to.
type stream struct {
	f *os.File
	w *bufio.Writer
}

// NewDirectory makes the directory, which must not hold a run yet.
func NewDirectory(path string) (*Directory, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("expected the directory of a bench run: %w", err)
	}
	d := &Directory{Path: path}
	for name, s := range map[string]**stream{"rounds.jsonl": &d.rounds, "instances.jsonl": &d.instances, "strays.jsonl": &d.strays} {
		f, err := os.OpenFile(filepath.Join(path, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("run directory: %w", err), d.Close())
		}
		*s = &stream{f, bufio.NewWriterSize(f, 1<<20)}
	}
	return d, nil
}

// Record implements bench.Recorder. Everything of the round is on disk when it
// returns.
func (d *Directory) Record(r *bench.Round, actions []match.Action, x *match.Index, strays []bench.Stray) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = d.rounds.w.Write(append(line, '\n'))
	var buf []byte
	x.Each(func(f match.Fate) {
		if err == nil {
			buf = appendFate(buf[:0], r.Number, actions, f)
			_, err = d.instances.w.Write(buf)
		}
	})
	e := json.NewEncoder(d.strays.w)
	for i := range strays {
		if err == nil {
			err = e.Encode(struct {
				Round int `json:"round"`
				bench.Stray
			}{r.Number, strays[i]})
		}
	}
	return errors.Join(err, d.rounds.w.Flush(), d.instances.w.Flush(), d.strays.w.Flush())
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
	err := d.write("run.json", r, "json")
	if len(r.Rounds) > 0 {
		err = errors.Join(err, d.write("report.html", r, "html"))
	}
	return err
}

func (d *Directory) write(name string, r *Run, format string) error {
	f, err := os.Create(filepath.Join(d.Path, name))
	if err != nil {
		return fmt.Errorf("run directory: %w", err)
	}
	return errors.Join(r.Write(f, format), f.Close())
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
	text, err := regular.ReadJSON(filepath.Join(path, "run.json"))
	if err != nil {
		return nil, fmt.Errorf("expected the directory of a bench run: %w", err)
	}
	var r Run
	if err := human.ParseJSON(text, &r); err != nil {
		return nil, fmt.Errorf("run directory %s: %w", path, err)
	}
	human.Texts(&r)
	if r.Schema > bench.RoundSchema {
		return nil, fmt.Errorf("run directory %s: its schema is %d, this program knows up to %d", path, r.Schema, bench.RoundSchema)
	}
	return &r, nil
}
