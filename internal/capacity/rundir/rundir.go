// Package rundir keeps a capacity run on disk: the raw result, from which any
// report can be made again, and the reports.
package rundir

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/report"
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
	if _, err := os.Stat(filepath.Join(name, resultFile)); err == nil {
		return "", fmt.Errorf("%s holds the result of a run already: name another directory", name)
	}
	if err := os.MkdirAll(name, 0o755); err != nil {
		return "", fmt.Errorf("directory of the run: %w", err)
	}
	return filepath.Abs(name)
}

// Save writes a result, complete or not, in place of an earlier one.
func Save(dir string, r *capacity.Result) error {
	text, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("save result: %w", err)
	}
	// A reader never sees half a file, and a kill leaves the one before.
	path := filepath.Join(dir, resultFile)
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("save result: %w", err)
	}
	return os.Rename(path+".new", path)
}

// WriteReports writes a result in all forms.
func WriteReports(dir string, r *capacity.Result) error {
	var errs []error
	for name, format := range reports {
		errs = append(errs, writeReport(filepath.Join(dir, name), format, r))
	}
	return errors.Join(errs...)
}

func writeReport(path string, format report.Format, r *capacity.Result) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return errors.Join(report.Write(f, format, r), f.Close())
}

// Load reads the result in a run's directory, or the JSON file itself.
func Load(path string) (*capacity.Result, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, resultFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("load result: %w", err)
	}
	var r capacity.Result
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("load result %s: %w", path, err)
	}
	if r.Schema != capacity.Schema {
		return nil, fmt.Errorf("load result %s: schema %d, and this version reads %d", path, r.Schema, capacity.Schema)
	}
	return &r, nil
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
