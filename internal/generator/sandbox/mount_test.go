package sandbox

import (
	"strings"
	"testing"
)

func TestEscape(t *testing.T) {
	if got, want := escape(`/a,b:c\d`), `/a\,b\:c\\d`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A directory that does not exist is its parent's, but not that of the root
// directory: an overlay there would not be this process's root.
func TestOverlaid(t *testing.T) {
	top := t.TempDir()
	got, err := overlaid([]string{"/peregrine-none/x", "/tmp", top + "/none/x", top})
	if err != nil || len(got) != 1 || got[0] != top {
		t.Errorf("%q, %v, want %q", got, err, top)
	}
}

func TestMountsBelow(t *testing.T) {
	top, err := mountsBelow("/")
	if err != nil {
		t.Fatal(err)
	}
	joined := " " + strings.Join(top, " ") + " "
	if !strings.Contains(joined, " /proc ") || strings.Contains(joined, " /dev/pts ") && strings.Contains(joined, " /dev ") {
		t.Errorf("uppermost mounts below /: %v", top)
	}
	if none, err := mountsBelow("/nonexistent"); err != nil || len(none) != 0 {
		t.Errorf("%v, %v", none, err)
	}
}
