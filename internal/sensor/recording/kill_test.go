package recording

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/wait"
)

// recordForEver is the process that TestKilled kills.
func recordForEver(prefix string) {
	b := newBench(new(testing.T))
	b.run()
	for n := 0; ; n++ {
		if n%100 == 0 {
			b.alert(Limits{Prefix: prefix, Files: 3, Total: 1 << 30, Buffer: 1 << 20})
		}
		b.write(200)
	}
}

// A recorder that is killed leaves a file that is whole to its end. It shows a
// row of docs/compatibility.md.
func TestKilled(t *testing.T) {
	for range 5 {
		l := limits(t)
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "RECORDING_TEST_PREFIX="+l.Prefix)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for size := int64(0); size < 300<<10; {
			for _, path := range files(t, l) {
				if info, err := os.Stat(path); err == nil {
					size = info.Size()
				}
			}
			if err := wait.For(t.Context(), time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
		if _, w := content(t, files(t, l)[0]); w < 100 {
			t.Errorf("%d writes", w)
		}
	}
}
