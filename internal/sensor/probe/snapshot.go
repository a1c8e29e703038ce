package probe

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"unsafe"

	"github.com/cilium/ebpf/link"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// Snapshot calls emit with a KindTask event for every process there is. The
// bytes are valid during the call. The kernel's task iterator gives nearly
// everything at once; command lines and environments that it cannot read come
// from /proc.
func (p *Probe) Snapshot(emit func(ev []byte)) error {
	p.snapshot.Lock()
	defer p.snapshot.Unlock()
	iter, err := link.AttachIter(link.IterOptions{Program: p.coll.Programs["iter_task"]})
	if err != nil {
		return fmt.Errorf("attach the iterator over tasks: %w", err)
	}
	defer iter.Close()
	f, err := iter.Open()
	if err != nil {
		return fmt.Errorf("open the iterator over tasks: %w", err)
	}
	defer f.Close()
	return readTasks(bufio.NewReaderSize(f, event.MaxLen), func(v *event.View, ev []byte) {
		p.learnName(v)
		emit(ev)
	})
}

// readTasks cuts the iterator's output into events.
func readTasks(r io.Reader, emit func(v *event.View, ev []byte)) error {
	buf := unsafe.Slice((*byte)(unsafe.Pointer(&make([]uint64, event.MaxLen/8)[0])), event.MaxLen) // aligned
	var v event.View
	var b event.Builder
	for {
		if _, err := io.ReadFull(r, buf[:event.HeaderSize]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read the tasks: %w", err)
		}
		h := (*event.Header)(unsafe.Pointer(&buf[0]))
		if h.Len < event.HeaderSize || h.Len > event.MaxLen {
			return fmt.Errorf("read the tasks: a record of %d bytes", h.Len)
		}
		if _, err := io.ReadFull(r, buf[event.HeaderSize:h.Len]); err != nil {
			return fmt.Errorf("read the tasks: %w", err)
		}
		if err := v.Reset(buf[:h.Len]); err != nil {
			return fmt.Errorf("read the tasks: %w", err)
		}
		emit(&v, complete(&v, &b))
	}
}

// complete adds the arguments and environment that the iterator could not read:
// on older kernels it sees only kernel memory. Kernel threads have neither.
func complete(v *event.View, b *event.Builder) []byte {
	_, argv := v.Bytes(event.TaskArgv)
	_, env := v.Bytes(event.TaskEnv)
	if _, exe := v.Bytes(event.TaskExepath); !exe || (argv && env) {
		return v.Raw()
	}
	dir := "/proc/" + strconv.Itoa(int(v.Header().PID)) + "/"
	b.Start(event.KindTask, *v.Header())
	info := v.Info()
	for i := range info.Slots() {
		switch {
		case i == event.TaskArgv && !argv:
			putStrings(b, i, dir+"cmdline")
		case i == event.TaskEnv && !env:
			putStrings(b, i, dir+"environ")
		case info.Variable(i):
			if p, ok := v.Bytes(i); ok {
				b.Bytes(i, p)
			}
		default:
			b.Uint(i, v.Uint(i))
		}
	}
	return b.Finish()
}

const maxStrings = 4096 // as in the probe

// putStrings sets a list of strings from a file of /proc; nothing if the
// process is gone.
func putStrings(b *event.Builder, slot int, path string) {
	p, err := os.ReadFile(path)
	if err != nil || len(p) == 0 {
		return
	}
	if len(p) > maxStrings {
		p = p[:maxStrings]
		p[len(p)-1] = 0
	}
	if !bytes.HasSuffix(p, []byte{0}) {
		p = append(p, 0)
	}
	b.Bytes(slot, p)
}
