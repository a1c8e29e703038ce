package config

import (
	"context"
	"os"
	"testing"
	"time"
)

// watching starts Watch on paths and returns the channel of its calls.
func watching(t *testing.T, paths ...string) <-chan struct{} {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	calls, done := make(chan struct{}, 16), make(chan error)
	go func() {
		first := true
		done <- Watch(ctx, paths, time.Millisecond, func(written bool) {
			if written == first {
				t.Errorf("written is %t, in the first call %t", written, first)
			}
			first = false
			calls <- struct{}{}
		})
	}()
	<-calls // it watches
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Watch: %v", err)
		}
	})
	return calls
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestWatch(t *testing.T) {
	tests := []struct {
		name   string
		change func(t *testing.T, dir string)
	}{
		{"written", func(t *testing.T, dir string) { write(t, dir+"/falco.yaml", "b") }},
		{"replaced", func(t *testing.T, dir string) {
			write(t, dir+"/new", "b")
			if err := os.Rename(dir+"/new", dir+"/falco.yaml"); err != nil {
				t.Fatal(err)
			}
		}},
		{"removed", func(t *testing.T, dir string) { os.Remove(dir + "/falco.yaml") }},
		{"new file in a directory", func(t *testing.T, dir string) { write(t, dir+"/rules.d/x.yaml", "b") }},
		{"file behind a link", func(t *testing.T, dir string) { write(t, dir+"/elsewhere/real.yaml", "b") }},
		{"directory replaced", func(t *testing.T, dir string) {
			if err := os.Rename(dir+"/rules.d", dir+"/rules.old"); err != nil {
				t.Fatal(err)
			}
		}},
		{"link swapped as Kubernetes does", func(t *testing.T, dir string) {
			if err := os.Symlink("v2", dir+"/..data"); err != nil {
				t.Fatal(err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir+"/falco.yaml", "a")
			for _, sub := range []string{"/rules.d", "/elsewhere"} {
				if err := os.Mkdir(dir+sub, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			write(t, dir+"/elsewhere/real.yaml", "a")
			if err := os.Symlink("elsewhere/real.yaml", dir+"/link.yaml"); err != nil {
				t.Fatal(err)
			}
			calls := watching(t, dir+"/link.yaml", dir+"/falco.yaml", dir+"/rules.d", dir+"/missing/x")
			tt.change(t, dir)
			<-calls
		})
	}
}

func TestWatchIgnoresNeighbours(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/falco.yaml", "a")
	calls := watching(t, dir+"/falco.yaml")
	write(t, dir+"/other", "x")
	write(t, dir+"/falco.yaml", "b")
	<-calls // inotify keeps order, so a call for other would have come before or with it
	w, err := newWatcher([]string{dir + "/falco.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.file.Close()
	write(t, dir+"/other", "y")
	buf := make([]byte, 4096)
	n, err := w.file.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	if w.interesting(buf[:n]) {
		t.Error("a change of another file is taken for one of falco.yaml")
	}
}

func TestWatchReleasesDescriptors(t *testing.T) {
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	dir := t.TempDir()
	cycle := func() {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := Watch(ctx, []string{dir}, time.Millisecond, func(bool) {}); err != nil {
			t.Fatal(err)
		}
	}
	cycle()
	before := count()
	for range 50 {
		cycle()
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors before, %d after 50 watches", before, after)
	}
}
