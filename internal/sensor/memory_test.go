package sensor

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestCleanMappings(t *testing.T) {
	const smaps = `00400000-00daa000 r-xp 00000000 fe:00 9986272                            /opt/a b/peregrine
Size:               9896 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me sd
00daa000-01883000 r--p 009aa000 fe:00 9986272                            /opt/a b/peregrine
Anonymous:             4 kB
01883000-01a72000 rw-p 01483000 fe:00 9986272                            /opt/a b/peregrine
Anonymous:             0 kB
02000000-02001000 r--p 00000000 fe:00 9986272                            /opt/a b/peregrine
Anonymous:             0 kB
7fe31305c000-7fe31385d000 r--s 00001000 00:10 1038                       anon_inode:bpf-map
Anonymous:             0 kB
7ffd00000000-7ffd00021000 r--p 00000000 00:00 0 
Anonymous:             0 kB
`
	got, err := cleanMappings(strings.NewReader(smaps), "/opt/a b/peregrine")
	if err != nil {
		t.Fatal(err)
	}
	want := []mapping{{0x400000, 0xdaa000}, {0x2000000, 0x2001000}}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %x, want %x", got, want)
	}
}

func TestUnmapPages(t *testing.T) {
	page := os.Getpagesize()
	path := filepath.Join(t.TempDir(), "a file")
	content := bytes.Repeat([]byte("peregrine"), 64*page/9+1)[:64*page]
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	read := mmap(t, f, len(content), unix.PROT_READ)
	written := mmap(t, f, len(content), unix.PROT_READ|unix.PROT_WRITE)
	written[5] = 'X'
	if err := unix.Mprotect(written, unix.PROT_READ); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read, content) || resident(t, read) == 0 {
		t.Fatal("the file is not mapped")
	}
	if err := unmapPages(path); err != nil {
		t.Fatal(err)
	}
	if n := resident(t, read); n != 0 {
		t.Errorf("%d pages are resident, want none", n)
	}
	if !bytes.Equal(read, content) {
		t.Error("the mapping has other content")
	}
	if written[5] != 'X' {
		t.Error("what was written is lost")
	}
}

// Memory is given back twice after the start, and twice after each reload.
func TestServeMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sensor{log: slog.New(slog.DiscardHandler), reloaded: make(chan struct{}, 1)}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.serveMemory(ctx) }()
		collected := func() uint32 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.NumForcedGC
		}
		before := collected()
		for want := uint32(2); want <= 4; want += 2 {
			time.Sleep(time.Hour) // of the bubble
			if n := collected() - before; n != want {
				t.Errorf("memory was given back %d times, want %d", n, want)
			}
			s.reloaded <- struct{}{}
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// resident counts the pages of b that are mapped: those present in pagemap
// (Documentation/admin-guide/mm/pagemap.rst: 64 bits a page, the highest).
func resident(t *testing.T, b []byte) (n int) {
	t.Helper()
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	page := os.Getpagesize()
	entries := make([]byte, 8*len(b)/page)
	if _, err := f.ReadAt(entries, int64(uintptr(unsafe.Pointer(&b[0])))/int64(page)*8); err != nil {
		t.Fatal(err)
	}
	for i := 7; i < len(entries); i += 8 {
		n += int(entries[i] >> 7)
	}
	return n
}

func mmap(t *testing.T, f *os.File, n, prot int) []byte {
	t.Helper()
	b, err := unix.Mmap(int(f.Fd()), 0, n, prot, unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(b); err != nil {
			t.Error(err)
		}
	})
	return b
}
