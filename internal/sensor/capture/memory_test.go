package capture

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// hostile are captures of a few hundred kilobytes that unpack to gigabytes.
var hostile = map[string]func(w *Writer){
	"a process list that repeats": func(w *Writer) {
		p := Process{TID: 7, PID: 7, Comm: "x", Exe: "x"}
		for range 100 {
			w.Processes(many(p, 5000)...)
		}
	},
	"processes with long names": func(w *Writer) {
		list := make([]Process, 1000)
		for n := range 40 {
			for i := range list {
				pid := int64(1 + 1000*n + i)
				long := fmt.Sprintf("%04096d", pid)
				list[i] = Process{TID: pid, PID: pid, Comm: "x", CWD: long, Root: "/" + long[1:], Cgroups: "=/" + long[2:]}
			}
			w.Processes(list...)
			w.Event(uint64(n), 1, 0, event.KindSetsid, Num(1)) // waiting events are taken
		}
	},
	"a user list that repeats": func(w *Writer) {
		entry := append(make([]byte, 9), 3, 0, 'e', 'v', 'e', 0, 0, 0, 0)
		for range 4 {
			w.block(blockUsers, append(w.begin(), bytes.Repeat(entry, 60_000)...))
		}
	},
	"one block without an end": func(w *Writer) {
		w.block(blockProcess9, append(w.begin(), make([]byte, maxBlock+1)...))
	},
	"blocks as long as may be": func(w *Writer) {
		for range 2 {
			w.block(0x2FF, append(w.begin(), make([]byte, maxBlock-100)...))
		}
	},
}

func many(p Process, n int) []Process {
	list := make([]Process, n)
	for i := range list {
		list[i] = p
	}
	return list
}

// maxMemory bounds the memory for reading any file, the process table included.
const maxMemory = 1 << 30

// TestMemory reads each hostile file in a process of its own, whose highest
// memory the kernel tells.
func TestMemory(t *testing.T) {
	if path := os.Getenv("CAPTURE_TEST_FILE"); path != "" {
		drain(t, path)
		return
	}
	if testing.Short() {
		t.Skip("the race detector has memory of its own")
	}
	for name, write := range hostile {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir() + "/hostile.scap"
			file, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			z, err := gzip.NewWriterLevel(file, gzip.BestSpeed)
			if err != nil {
				t.Fatal(err)
			}
			write(NewWriter(z, Machine{}))
			if err := errors.Join(z.Close(), file.Close()); err != nil {
				t.Fatal(err)
			}
			child := exec.Command(os.Args[0], "-test.run", "^TestMemory$", "-test.v")
			child.Env = append(os.Environ(), "CAPTURE_TEST_FILE="+path)
			out, err := child.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			info, _ := os.Stat(path)
			_, said, _ := strings.Cut(string(out), "peak: ")
			t.Logf("%d KB: %s", info.Size()>>10, strings.TrimSpace(said))
		})
	}
}

func drain(t *testing.T, path string) {
	table := state.NewTable(state.Options{})
	r, err := Open(path)
	var v event.View
	for err == nil {
		var raw []byte
		if raw, err = r.Next(); err == nil {
			if err = v.Reset(raw); err == nil {
				table.Apply(&v, v.Header().Time)
				table.Done(&v)
			}
		}
	}
	if r != nil {
		defer r.Close()
	}
	var format *FormatError
	if !errors.Is(err, io.EOF) && !errors.As(err, &format) {
		t.Error(err)
	}
	status, serr := os.ReadFile("/proc/self/status")
	if serr != nil {
		t.Fatal(serr)
	}
	peak := procfs.Number(string(status), "VmHWM") << 10
	if peak > maxMemory {
		t.Errorf("%d MiB, want at most %d", peak>>20, maxMemory>>20)
	}
	fmt.Printf("peak: %d MiB, %v\n", peak>>20, err)
}
