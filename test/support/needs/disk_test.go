package needs

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSmallDisk(t *testing.T) {
	var file string
	t.Run("mounted", func(t *testing.T) {
		file = SmallDisk(t, "64k") + "/file"
		if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("a file of 1 MiB: %v", err)
		}
	})
	if _, err := os.Stat(file); err == nil {
		t.Error("it is still mounted after the test")
	}
}
