package rules

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

var rewrite = flag.Bool("update", false, "write the golden files anew")

// TestBroken loads each broken file of testdata/broken by itself and compares
// the report, as text and JSON, with the golden file beside it.
func TestBroken(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d files, error %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, report := Load([]Source{{Name: name + ".yaml", Content: content}}, Options{Lookup: field.Lookup})
			if res := report.Results[0]; len(res.Errors)+len(res.Warnings) == 0 {
				t.Error("neither error nor warning")
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".golden", render(t, report))
		})
	}
}

// render is the report as text, and as JSON, indented.
func render(t *testing.T, report *Report) []byte {
	t.Helper()
	var text, line, indented bytes.Buffer
	if err := report.WriteText(&text, true); err != nil {
		t.Fatal(err)
	}
	if err := report.WriteJSON(&line, nil); err != nil {
		t.Fatal(err)
	}
	if bytes.Count(line.Bytes(), []byte("\n")) != 1 {
		t.Error("JSON is not one line")
	}
	if err := json.Indent(&indented, line.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	return append(append(text.Bytes(), '\n'), indented.Bytes()...)
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}
