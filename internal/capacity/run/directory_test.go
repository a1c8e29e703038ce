package run

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
)

func result(rate float64) *capacity.Result {
	return &capacity.Result{Schema: capacity.Schema, Rows: []capacity.Row{{Limit: capacity.Limit{CPU: 1}, Syscalls: rate, Clean: -1, Failed: -1}}}
}

func TestSaveAndLoad(t *testing.T) {
	dir, err := Create(filepath.Join(t.TempDir(), "run"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, rate := range []float64{1, 2} { // the second replaces the first
		if err := Save(dir, result(rate)); err != nil {
			t.Fatal(err)
		}
	}
	if err := WriteReports(dir, result(2)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, resultFile)} {
		if got, err := Load(path); err != nil || got.Rows[0].Syscalls != 2 {
			t.Errorf("load %s: %+v, %v", path, got, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 5 {
		t.Errorf("the directory holds %v (%v)", entries, err)
	}
	if _, err := Create(dir, time.Now()); err == nil || !strings.Contains(err.Error(), "another directory") {
		t.Errorf("a run over a run: %v", err)
	}
}

func TestLoadAll(t *testing.T) {
	parent := t.TempDir()
	for _, name := range []string{"a", "b"} {
		dir, err := Create(filepath.Join(parent, name), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := Save(dir, result(1)); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := LoadAll(parent); err != nil || len(all) != 2 {
		t.Errorf("%d results, %v", len(all), err)
	}
	if all, err := LoadAll(filepath.Join(parent, "a")); err != nil || len(all) != 1 {
		t.Errorf("%d results of one run, %v", len(all), err)
	}
	if _, err := LoadAll(t.TempDir()); err == nil {
		t.Error("an empty directory has results")
	}
}

func TestLoadErrors(t *testing.T) {
	for text, want := range map[string]string{"{": "the JSON is incomplete", `{"schema": 99}`: "schema 99"} {
		path := filepath.Join(t.TempDir(), "r.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A link in the run's directory is replaced, not followed.
func TestLinksAreReplaced(t *testing.T) {
	target := t.TempDir()
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{resultFile, "report.html"} {
		if err := os.Symlink(victim, filepath.Join(target, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(Save(target, result(1)), WriteReports(target, result(1))); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(victim); err != nil || string(text) != "precious" {
		t.Errorf("a link was followed: %q, %v", text, err)
	}
}

// The default name is not taken over from a run of the same second.
func TestDefaultName(t *testing.T) {
	t.Chdir(t.TempDir())
	now := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	dir, err := Create("", now)
	if err != nil || filepath.Base(dir) != "peregrine-capacity-20260301-100000" {
		t.Fatalf("%s, %v", dir, err)
	}
	if err := Save(dir, result(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := Create("", now); err == nil {
		t.Error("the same directory twice")
	}
}
