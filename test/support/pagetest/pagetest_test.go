package pagetest

import (
	"os"
	"testing"
)

// A browser leaves nothing in the home directory, which other tests compare with
// what it was.
func TestBrowserKeepsToItself(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	if dom, _ := Browse(t, File(t, "<p>text</p>")); dom == "" {
		t.Error("no page")
	}
	left, err := os.ReadDir(home)
	if err != nil || len(left) > 0 {
		t.Errorf("left in the home directory: %v, %v", left, err)
	}
}
