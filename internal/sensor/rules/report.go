package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Result is the result of one file.
type Result struct {
	Name             string
	Errors, Warnings []Issue
	// SchemaWarnings lists violations of the schema of rules files; nil if the
	// file is not YAML. A file with violations may still load.
	SchemaWarnings []string
}

// OK says whether the file was loaded.
func (r *Result) OK() bool { return len(r.Errors) == 0 }

func (r *Result) fail(err error) {
	var f *failure
	if !errors.As(err, &f) {
		panic("rules: error without a place: " + err.Error())
	}
	r.Errors = append(r.Errors, f.Issue)
}

// maxWarnings limits the warnings about one file: each carries a piece of it.
const maxWarnings = 1000

func (r *Result) warn(at *place, code Code, format string, args ...any) {
	if len(r.Warnings) < maxWarnings {
		r.Warnings = append(r.Warnings, at.issue(code, format, args...))
	}
}

// dropRepeated drops warnings that were given with an earlier file: each file
// is checked together with all before it.
func (r *Result) dropRepeated(seen map[string]bool) {
	r.Warnings = slices.DeleteFunc(r.Warnings, func(w Issue) bool {
		key := fmt.Sprint(w.Code, w.Message, w.Locations)
		repeated := seen[key]
		seen[key] = true
		return repeated
	})
}

// Report has a Result for each file, in order.
type Report struct{ Results []*Result }

// OK says whether all files were loaded.
func (r *Report) OK() bool {
	return !slices.ContainsFunc(r.Results, func(r *Result) bool { return !r.OK() })
}

// Err is nil if all files were loaded; else it has one line for each bad file
// with its error.
func (r *Report) Err() error {
	if r.OK() {
		return nil
	}
	var lines []string
	for _, res := range r.Results {
		for _, e := range res.Errors {
			lines = append(lines, fmt.Sprintf("%s: %s: %s", e.where(), e.Code, e.Message))
		}
	}
	return errors.New(strings.Join(lines, "\n"))
}

// where is the innermost place in a file.
func (i Issue) where() string {
	for _, l := range slices.Backward(i.Locations) {
		if l.ItemType != itemExpression {
			return fmt.Sprintf("%s:%d:%d", l.Name, l.Line, l.Column)
		}
	}
	return ""
}

// FileError is the Result for a file that cannot be read.
func FileError(name string, err error) *Result {
	at := fileOf(Source{Name: name})
	return &Result{Name: name, Errors: []Issue{at.issue(ErrFileRead, "%s", err.Error())}}
}

// Summary is the state of the file in a few words: "NAME: Ok".
func (r *Result) Summary() string {
	switch {
	case !r.OK():
		return r.Name + ": Invalid"
	case len(r.Warnings) > 0:
		return r.Name + ": Ok, with warnings"
	}
	return r.Name + ": Ok"
}

// WriteText writes the report for people, as -V does. Warnings are listed only
// if requested.
func (r *Report) WriteText(w io.Writer, warnings bool) error {
	var b bytes.Buffer
	for _, res := range r.Results {
		b.WriteString(res.Summary() + "\n")
		writeIssues(&b, "Errors", res.Errors)
		if warnings {
			writeIssues(&b, "Warnings", res.Warnings)
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

func writeIssues(b *bytes.Buffer, what string, list []Issue) {
	if len(list) == 0 {
		return
	}
	fmt.Fprintf(b, "%d %s:\n", len(list), what)
	for _, i := range list {
		b.WriteString(i.Text())
	}
}

// Text is the issue with its context and source.
func (i Issue) Text() string {
	var b strings.Builder
	for n, l := range i.Locations {
		if n == 0 {
			b.WriteString("In ")
		} else {
			b.WriteString("    ")
		}
		b.WriteString(l.ItemType)
		if l.ItemName != "" {
			b.WriteString(" '" + l.ItemName + "'")
		}
		fmt.Fprintf(&b, ": (%s:%d:%d)\n", l.Name, l.Line, l.Column)
	}
	fmt.Fprintf(&b, "------\n%s------\n%s (%s): %s\n", i.Snippet, i.Code, i.Code.Short(), i.Message)
	return b.String()
}

// JSONResult is an element of falco_load_results. Keys are in alphabetical
// order, as Falco writes them.
type JSONResult struct {
	Errors []JSONIssue `json:"errors"`
	Name   string      `json:"name"`
	// Both nil if the file is no YAML, so that it was not validated.
	SchemaValid    *bool       `json:"schema_valid,omitempty"`
	SchemaWarnings *[]string   `json:"schema_warnings,omitempty"`
	Successful     bool        `json:"successful"`
	Warnings       []JSONIssue `json:"warnings"`
}

// JSONIssue is an error or warning in JSON.
type JSONIssue struct {
	Code     Code        `json:"code"`
	CodeDesc string      `json:"codedesc"`
	Context  JSONContext `json:"context"`
	Message  string      `json:"message"`
}

// JSONContext is the place of an issue in JSON.
type JSONContext struct {
	Locations []JSONLocation `json:"locations"`
	Snippet   string         `json:"snippet"`
}

// JSONLocation is a Location in JSON.
type JSONLocation struct {
	ItemName string       `json:"item_name"`
	ItemType string       `json:"item_type"`
	Position JSONPosition `json:"position"`
}

// JSONPosition is where a Location is.
type JSONPosition struct {
	Column int    `json:"column"`
	Line   int    `json:"line"`
	Name   string `json:"name"`
	Offset int    `json:"offset"`
}

// JSON returns the report as -V with json_output has it, in
// falco_load_results.
func (r *Report) JSON() []JSONResult {
	list := []JSONResult{}
	for _, res := range r.Results {
		j := JSONResult{
			Name: res.Name, Successful: res.OK(),
			Errors: jsonIssues(res.Errors), Warnings: jsonIssues(res.Warnings),
		}
		if res.SchemaWarnings != nil {
			valid := len(res.SchemaWarnings) == 0
			j.SchemaValid, j.SchemaWarnings = &valid, &res.SchemaWarnings
		}
		list = append(list, j)
	}
	return list
}

func jsonIssues(issues []Issue) []JSONIssue {
	list := []JSONIssue{}
	for _, i := range issues {
		j := JSONIssue{Code: i.Code, CodeDesc: i.Code.describe(), Message: i.Message, Context: JSONContext{Snippet: i.Snippet}}
		for _, l := range i.Locations {
			j.Context.Locations = append(j.Context.Locations, JSONLocation{
				ItemName: l.ItemName, ItemType: l.ItemType,
				Position: JSONPosition{Name: l.Name, Line: l.Line, Column: l.Column, Offset: l.Offset},
			})
		}
		list = append(list, j)
	}
	return list
}

// WriteJSON writes the report as -V does with json_output: one line. describe,
// if not nil, is added as falco_describe_results (-V with -L).
func (r *Report) WriteJSON(w io.Writer, describe *Description) error {
	out := struct {
		Describe *Description `json:"falco_describe_results,omitempty"`
		Load     []JSONResult `json:"falco_load_results"`
	}{describe, r.JSON()}
	return writeJSON(w, out)
}

func writeJSON[T any](w io.Writer, v T) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
