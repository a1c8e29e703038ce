package filter

import (
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// Before metadata arrives, checks that read it count as possible, wherever they
// stand and whichever of their sides it is.
func TestWithoutMetadata(t *testing.T) {
	for _, tt := range []struct {
		text, want string
		less       bool
	}{
		{"container.id = x and proc.name = y", "(container.id = x and proc.name = y)", false},
		{"container.name = x", "true", true},
		{"not container.name = x", "true", true},
		{"container.name = x and proc.name = y", "proc.name = y", true},
		{"proc.name = y and not container.image.tag exists", "proc.name = y", true},
		{"container.name = x or proc.name = y", "true", true},
		{"not (container.name = x or proc.name = y)", "not proc.name = y", true},
		{"proc.name = val(container.name)", "true", true},
		{"container.name = val(proc.name)", "true", true},
	} {
		n, err := Parse(tt.text)
		if err == nil {
			err = Resolve(n, field.Lookup)
		}
		if err != nil {
			t.Fatalf("%s: %v", tt.text, err)
		}
		switch got, less := WithoutMetadata(n); {
		case less != tt.less:
			t.Errorf("%s differs: %v, want %v", tt.text, less, tt.less)
		case tt.want == "true" && !IsTrue(got), tt.want != "true" && got.String() != tt.want:
			t.Errorf("%s becomes %s, want %s", tt.text, got, tt.want)
		}
	}
}
