package probe

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// More events than the rings hold: nothing is lost without being counted, and
// the next event that gets through says how many were.
func TestOverflow(t *testing.T) {
	p := load(t, Options{CPUsPerRing: 0, RingBytes: os.Getpagesize(), DropFailed: true, Interest: Interest{Syscalls: ids("openat", "close")}})
	file := filepath.Join(t.TempDir(), "file")
	name := cstring(write(t, file, "x"))
	missing := cstring(file + "-missing")
	received, lost := uint64(0), uint64(0)
	take := func() {
		for {
			b, ok := p.Reader().Next()
			if !ok {
				return
			}
			e := record(t, b)
			received++
			lost += uint64(e.Header().Lost)
		}
	}
	for range 50 {
		for range 100 {
			fd := raw0(unix.SYS_OPENAT, unix.AT_FDCWD, name)
			unix.Close(int(fd))
			raw0(unix.SYS_OPENAT, unix.AT_FDCWD, missing)
		}
		take()
	}
	if err := p.Detach(); err != nil {
		t.Fatal(err)
	}
	take()
	c, err := p.Counters()
	if err != nil {
		t.Fatal(err)
	}
	if c.Seen != c.Filtered+c.Delivered+c.Dropped() {
		t.Errorf("seen %d != filtered %d + delivered %d + dropped %d", c.Seen, c.Filtered, c.Delivered, c.Dropped())
	}
	if c.Delivered != received {
		t.Errorf("delivered %d, received %d", c.Delivered, received)
	}
	buffer := c.Drops[event.DropBuffer]
	if c.Filtered < 5000 || buffer[event.LostOpen]+buffer[event.LostClose] < 5000 || c.Dropped() != c.Drops.Of(event.DropBuffer) {
		t.Errorf("counters %+v", c)
	}
	// No event reports losses after the last delivered event of its CPU.
	if lost == 0 || lost > c.Dropped() {
		t.Errorf("the events tell of %d lost, %d were", lost, c.Dropped())
	}
}

// A reader that waits is woken by the next event, whichever ring has it.
func TestWakeUp(t *testing.T) {
	p := load(t, Options{CPUsPerRing: 1, Interest: Interest{Syscalls: ids("mknodat")}})
	waits := (*atomic.Uint64)(unsafe.Pointer(&p.waits[0]))
	seen := make(chan int64)
	var done atomic.Bool
	var reader sync.WaitGroup
	defer reader.Wait()
	defer p.Reader().Wake()
	defer done.Store(true)
	reader.Go(func() {
		for !done.Load() {
			b, ok := p.Reader().Next()
			if !ok {
				p.Reader().Wait(time.Hour)
				continue
			}
			e := record(t, b)
			if e.Kind() != event.KindMknodat || int(e.Header().PID) != os.Getpid() {
				continue
			}
			seen <- e.Int(event.KindMknodat.Info().Slot("mode"))
		}
	})
	for mode := range int64(20) {
		needs.Eventually(t, "the reader waits", func() bool { return waits.Load() == 1 })
		raw(unix.SYS_MKNODAT, -1, "nowhere/at/all", int(mode), 0)
		select {
		case got := <-seen:
			if got != mode {
				t.Errorf("event %d, expected %d", got, mode)
			}
		case <-time.After(needs.Patience):
			t.Fatalf("event %d did not wake the reader", mode)
		}
	}
}

// A path that is not there to be read: the event comes without it.
func TestPageFault(t *testing.T) {
	before := counters(t)
	tr := trace(t, []string{"openat", "connect"}, func() {
		raw(unix.SYS_OPENAT, unix.AT_FDCWD, uint64(8), 0)
		raw(unix.SYS_CONNECT, 0, uint64(8), 16)
	})
	e := tr.one(event.KindOpenat)
	e.want(t, map[string]string{"fd": num(-int64(unix.EFAULT)), "dirfd": "-100", "name": "-", "flags": "1", "mode": "0", "dev": "0", "ino": "0", "base": "-", "file": "-"})
	e = tr.one(event.KindConnect)
	if f := e.fields(); f["addr"] != "-" {
		t.Errorf("connect %v", f)
	}
	if after := counters(t); after.Faults < before.Faults+2 {
		t.Errorf("%d faults before, %d after", before.Faults, after.Faults)
	}
}

// A path that can no longer be read when the call returns, as while the kernel
// changes the mapping of its page: what was opened is known all the same, as
// docs/compatibility.md says.
func TestPathGone(t *testing.T) {
	fifo := t.TempDir() + "/fifo"
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	page, err := unix.Mmap(-1, 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	copy(page, fifo)
	path := unsafe.Pointer(&page[0])
	tr := trace(t, []string{"openat"}, func() {
		waits := fmt.Sprintf("/proc/self/task/%d/syscall", unix.Gettid())
		done := make(chan error)
		go func() {
			for doing := ""; !strings.HasPrefix(doing, fmt.Sprint(unix.SYS_OPENAT, " ")); { // for a writer
				all, _ := os.ReadFile(waits)
				doing = string(all)
			}
			err := unix.Munmap(page)
			writer, err2 := unix.Open(fifo, unix.O_WRONLY, 0)
			done <- errors.Join(err, err2, unix.Close(writer))
		}()
		dir := unix.AT_FDCWD
		fd, _, errno := unix.Syscall6(unix.SYS_OPENAT, uintptr(dir), uintptr(path), unix.O_RDONLY, 0, 0, 0)
		if err := <-done; err != nil || errno != 0 {
			t.Error(err, errno)
		}
		unix.Close(int(fd))
	})
	e := tr.one(event.KindOpenat)
	if f := e.fields(); f["name"] != "-" || !strings.Contains(f["file"], quote(fifo)) {
		t.Errorf("%v", f)
	}
}

func counters(t *testing.T) *Counters {
	t.Helper()
	needBPF(t)
	p, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return countersOf(t, p)
}

func countersOf(t *testing.T, p *Probe) *Counters {
	t.Helper()
	c, err := p.Counters()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The structures that C and Go share have the same fields in the same places.
func TestLayouts(t *testing.T) {
	for name, load := range map[string]func() (*btf.Spec, error){
		"direct": func() (*btf.Spec, error) { s, err := readDirect(); return s.Types, err },
		"oldest": func() (*btf.Spec, error) { s, err := readOldest(); return s.Types, err },
		"legacy": func() (*btf.Spec, error) { s, err := readLegacy(); return s.Types, err },
	} {
		t.Run(name, func(t *testing.T) {
			types, err := load()
			if err != nil {
				t.Fatal(err)
			}
			sameLayout(t, types, "event_header", event.Header{})
			sameLayout(t, types, "open_fds", event.OpenFDs{})
			sameLayout(t, types, "counters", cpuCounters{})
			sameLayout(t, types, "interest", interestData{})
		})
	}
}
