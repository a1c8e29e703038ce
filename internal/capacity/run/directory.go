package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/diagnose"
	"github.com/peregrine-sec/peregrine/internal/capacity/report"
	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/linux/regular"
	"github.com/peregrine-sec/peregrine/internal/rundir"
)

// resultFile is the raw data within a run's directory.
const resultFile = "result.json"

// reports are the files that a run leaves besides its raw data.
var reports = map[string]report.Format{
	"report.html": report.HTML,
	"report.md":   report.Markdown,
	"report.csv":  report.CSV,
	"report.txt":  report.Text,
}

// Create makes the directory of a run that starts now; with an empty name it
// is named for the time.
func Create(name string, now time.Time) (string, error) {
	if name == "" {
		name = "peregrine-capacity-" + now.Format("20060102-150405")
	}
	return rundir.Create(name, resultFile)
}

// Save writes a result, complete or not, in place of an earlier one.
func Save(dir string, r *capacity.Result) error {
	return rundir.Write(filepath.Join(dir, resultFile), func(w io.Writer) error { return json.NewEncoder(w).Encode(r) })
}

// WriteReports writes a result in all forms.
func WriteReports(dir string, r *capacity.Result) error {
	var errs []error
	for name, format := range reports {
		errs = append(errs, rundir.Write(filepath.Join(dir, name), func(w io.Writer) error { return report.Write(w, format, r) }))
	}
	return errors.Join(errs...)
}

// Load reads the result in a run's directory, or the JSON file itself. It may
// be of another machine: nothing in it is trusted to be fit for a terminal.
func Load(path string) (*capacity.Result, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, resultFile)
	}
	var r capacity.Result
	text, err := regular.ReadJSON(path, &r)
	if err != nil {
		return nil, fmt.Errorf("expected the directory of a capacity run: %w", err)
	}
	if err := human.ParseJSON(text, &r); err != nil {
		return nil, fmt.Errorf("load result %s: %w", path, err)
	}
	switch r.Schema {
	case capacity.Schema:
	case 1:
		if err := upgrade(&r, text); err != nil {
			return nil, fmt.Errorf("load result %s: %w", path, err)
		}
	default:
		return nil, fmt.Errorf("load result %s: schema %d, and this version reads 1 and %d", path, r.Schema, capacity.Schema)
	}
	human.Texts(&r)
	if len(r.Findings.Answers) == 0 {
		diagnose.Complete(&r) // of a run that was killed before it could say
	}
	// Stored findings were computed from the rows; a file whose findings do not
	// fit them was edited by hand.
	for _, a := range r.Findings.Answers {
		if a.Row < 0 || a.Row >= len(r.Rows) {
			return nil, fmt.Errorf("load result %s: findings about row %d of %d: the file is damaged", path, a.Row, len(r.Rows))
		}
	}
	return &r, nil
}

// upgrade completes a result of the first schema.
func upgrade(r *capacity.Result, text []byte) error {
	var old struct {
		Sensor capacity.Sensor `json:"sensor"`
	}
	if err := json.Unmarshal(text, &old); err != nil {
		return err
	}
	r.Schema, r.Sensors = capacity.Schema, []capacity.Sensor{old.Sensor}
	diagnose.Complete(r)
	return nil
}

// LoadAll reads one run, or all runs in the directories below path.
func LoadAll(path string) ([]capacity.Result, error) {
	one, err := Load(path)
	if err == nil {
		return []capacity.Result{*one}, nil
	}
	found, globErr := filepath.Glob(filepath.Join(path, "*", resultFile))
	if globErr != nil || len(found) == 0 {
		return nil, err
	}
	slices.Sort(found)
	var all []capacity.Result
	for _, file := range found {
		r, err := Load(file)
		if err != nil {
			return nil, err
		}
		all = append(all, *r)
	}
	return all, nil
}
