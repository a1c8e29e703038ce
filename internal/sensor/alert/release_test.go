//go:build invariants

package alert

import "testing"

// The last release makes an alert unreadable.
func TestRelease(t *testing.T) {
	a := blank()
	a.Rule, a.Line = "R", append(a.Line, "precious"...)
	a.Share(2)
	line := a.Line
	a.Release()
	if a.Rule != "R" || string(line) != "precious" {
		t.Errorf("%q, %q while one still holds it", a.Rule, line)
	}
	a.Release()
	if a.Rule == "R" || string(line) == "precious" {
		t.Errorf("%q, %q after the last release", a.Rule, line)
	}
}
