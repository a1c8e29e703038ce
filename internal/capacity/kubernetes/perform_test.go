package kubernetes

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

// A result is found among lines that came from the other stream, at whatever
// line of it.
func TestLogWithTwoStreams(t *testing.T) {
	result := []string{"{", ` "schema": 2,`, ` "host": {`, `  "cpus": 2`, " }", "}"}
	for at := range len(result) + 1 {
		lines := slices.Insert(slices.Clone(result), at, "Error: no row is a capacity")
		lines = slices.Insert(lines, 0, "[1/1] settling", "")
		var told []string
		l := &log{tell: func(line string) { told = append(told, line) }}
		if err := l.read(strings.NewReader(strings.Join(lines, "\n") + "\n")); err != nil {
			t.Errorf("line %d: %v", at, err)
		}
		if l.result == nil || l.result.Schema != 2 {
			t.Errorf("line %d: result %+v", at, l.result)
		}
		want := []string{"[1/1] settling", "Error: no row is a capacity"}
		if at == len(result) { // behind the result nothing is read
			want = want[:1]
		}
		if !slices.Equal(told, want) {
			t.Errorf("line %d: told %q", at, told)
		}
	}
}

// A log that is read before its end has no result yet; one that cannot be a
// result is an error that stays.
func TestLogWithoutResult(t *testing.T) {
	for text, want := range map[string]error{"": nil, "waiting\n": nil, "{\n \"schema\": 2,\n": nil, "{\n \"schema\": ,\n}\n": errResult} {
		l := &log{tell: func(string) {}}
		if err := l.read(strings.NewReader(text)); !errors.Is(err, want) || l.result != nil {
			t.Errorf("%q: %v, %+v", text, err, l.result)
		}
	}
}

// endless is a line without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

// A log without an end, in a line or in a result, is given up.
func TestLogWithoutEnd(t *testing.T) {
	for _, start := range []string{"", "{\n"} {
		l := &log{tell: func(string) {}}
		leaks.Within(t, 8*maxLog, func() {
			if err := l.read(io.MultiReader(strings.NewReader(start), endless{})); !errors.Is(err, errResult) || !strings.Contains(err.Error(), "64 MiB") {
				t.Errorf("%q: %v", start, err)
			}
		})
	}
}
