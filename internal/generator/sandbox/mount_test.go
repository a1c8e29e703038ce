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
