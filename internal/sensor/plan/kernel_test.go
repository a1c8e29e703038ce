package plan

import (
	"slices"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
)

// The catalogue says of exactly those fields that the kernel uses them by
// which some check can rule an open or a call on a socket out.
func TestKernelFields(t *testing.T) {
	for _, f := range field.All() {
		operands := []string{f.Name}
		switch {
		case f.Name == "evt.arg":
			operands = []string{"evt.arg.name", "evt.arg.flags", "evt.arg.mode", "evt.arg[1]"}
		case f.Arg == field.ArgRequired:
			continue
		}
		used := slices.ContainsFunc(operands, usedByKernel)
		if want := f.Stage == field.AtKernel || f.Name == "proc.name"; used != want {
			t.Errorf("%s: known at %s, used in the kernel: %v", f.Name, f.Stage, used)
		}
	}
}

// usedByKernel tries checks of a field with all operators and telling values.
func usedByKernel(name string) bool {
	for _, op := range filter.Operators() {
		for _, value := range []string{"true", "0", "-1", "SUCCESS", "d", "O_CREAT", "/etc/x", "10.0.0.0/8"} {
			c := &filter.Check{Left: &filter.Field{Name: name}, Op: op, Values: []filter.Value{{Text: value}}, List: op.TakesList()}
			if len(OpenChecks(c)) > 0 || len(SocketChecks(c)) > 0 {
				return true
			}
		}
	}
	return false
}

// Which parts of a condition rule opens out.
func TestOpenChecks(t *testing.T) {
	tests := []struct {
		condition string
		want      []string
	}{
		{"evt.type=openat and fd.name=/x", []string{"fd.name = /x"}},
		{"evt.type=unlink and fd.name=/x", nil},
		{"evt.type=openat and fd.name icontains x", nil},
		{"evt.type=openat and not fd.name startswith /x", []string{"fd.name startswith /x"}},
		{"evt.type=openat and fd.name glob [a-z]x", nil},
		{"evt.type=openat and fd.name glob *x and fd.name in (/a, /b)", []string{"fd.name glob *x", "fd.name in (/a, /b)"}},
		{"evt.type=openat and evt.is_open_write=true and fd.name startswith /etc", []string{"evt.is_open_write = true", "fd.name startswith /etc"}},
		{"evt.type=openat and not evt.is_open_write=true", []string{"evt.is_open_write = true"}},
		{"evt.type=openat and (fd.name=/x or proc.tty=0)", nil},
		{"evt.type=openat and (fd.name=/x or proc.name=tar)", []string{"fd.name = /x", "proc.name = tar"}},
		// Both must be met.
		{"evt.type=openat and fd.name in (/x, /y) and fd.filename=x", []string{"fd.filename = x", "fd.name in (/x, /y)"}},
		{"evt.type in (openat, unlink) and (evt.type=unlink or fd.name=/x)", []string{"fd.name = /x"}},
	}
	for _, tt := range tests {
		var got []string
		for c := range OpenChecks(load(t, tt.condition)[0].Node) {
			got = append(got, c.String())
		}
		slices.Sort(got)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.condition, got, tt.want)
		}
	}
}
