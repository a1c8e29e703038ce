package output

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func fileConfig(path string, keepAlive bool) *config.Config {
	c := quiet()
	c.File = config.FileOutput{Enabled: true, KeepAlive: keepAlive, Filename: path}
	return c
}

func TestFile(t *testing.T) {
	for name, keepAlive := range map[string]bool{"keep_alive": true, "opened for each batch": false} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "events.txt")
			s, _ := open(t, fileConfig(path, keepAlive))
			sendNumbered(s, 0, 5000)
			closeClean(t, s)
			wantLines(t, path, numberedLines(0, 5000))
			if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
				t.Errorf("mode %v", info.Mode().Perm())
			}
		})
	}
}

// SIGUSR1 after a rotation: the old lines are in the old file, the new ones
// in the new.
func TestFileReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.txt")
	s, _ := open(t, fileConfig(path, true))
	sendNumbered(s, 0, 100)
	needs.Eventually(t, "100 sent", func() bool { return statsOf(t, s, "file").Sent == 100 })
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	s.Reopen()
	sendNumbered(s, 100, 200)
	closeClean(t, s)
	wantLines(t, path+".1", numberedLines(0, 100))
	wantLines(t, path, numberedLines(100, 200))
}

func TestFileCannotOpen(t *testing.T) {
	_, err := Open(fileConfig("/nonexistent/dir/events.txt", true), Options{Log: (&logs{}).logger()})
	if err == nil || !strings.Contains(err.Error(), "file_output.filename: open /nonexistent/dir/events.txt") {
		t.Errorf("error %v", err)
	}
}

// A full disk: no line is torn or lost, the other channel goes on, the log
// names the error, and writing resumes when there is room.
func TestFileOnFullDisk(t *testing.T) {
	dir := needs.SmallDisk(t, "64k")
	path, other := filepath.Join(dir, "events.txt"), filepath.Join(t.TempDir(), "fifo")
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 48<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	c := fileConfig(path, true)
	c.Program = config.ProgramOutput{Enabled: true, KeepAlive: true, Program: "cat > " + other}
	s, log := open(t, c)
	sendNumbered(s, 0, 2000)
	needs.Eventually(t, "the other channel to get all", func() bool { return statsOf(t, s, "program").Sent == 2000 })
	needs.Eventually(t, "an error", func() bool { return statsOf(t, s, "file").Errors > 0 })
	full := statsOf(t, s, "file")
	if full.Queued == 0 || full.Dropped != 0 || !strings.Contains(full.LastError, "no space left") {
		t.Errorf("on a full disk: %+v", full)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	closeClean(t, s)
	wantLines(t, path, numberedLines(0, 2000))
	if !strings.Contains(log.String(), "no space left on device") || !strings.Contains(log.String(), "delivered again") {
		t.Errorf("log: %s", log)
	}
}

// A named pipe whose reader comes late, goes, and comes again.
func TestFileNamedPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ := open(t, fileConfig(path, true))
	sendNumbered(s, 0, 10)
	needs.Eventually(t, "an error", func() bool { return statsOf(t, s, "file").Errors > 0 })
	r, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	needs.Eventually(t, "10 sent", func() bool { return statsOf(t, s, "file").Sent == 10 })
	lines := bufio.NewScanner(r)
	for _, want := range numberedLines(0, 10) {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("got %q, want %q", lines.Text(), want)
		}
	}
}

// Standard output whose reader has gone does not end the process; alerts to
// it are counted as dropped.
func TestStdoutClosed(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := quiet()
	c.Stdout.Enabled = true
	s, err := Open(c, Options{Log: (&logs{}).logger(), Stdout: w})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	sendNumbered(s, 0, 3)
	in := bufio.NewReader(r)
	for range 3 {
		if _, err := in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	r.Close()
	sendNumbered(s, 3, 10)
	needs.Eventually(t, "7 dropped", func() bool { return statsOf(t, s, "stdout").Dropped == 7 })
	if got := statsOf(t, s, "stdout"); got.Sent != 3 || !strings.Contains(got.LastError, "broken pipe") {
		t.Errorf("%+v", got)
	}
	closeClean(t, s)
}

// A stalled reader: Send goes on, the queue overflows, the counts add up, and
// Close returns in time and reports the losses.
func TestStdoutStalled(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c := quiet()
	c.Stdout.Enabled = true
	c.OutputsQueue.Capacity = 1000
	l := &logs{}
	s, err := Open(c, Options{Log: l.logger(), Stdout: w})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	sendNumbered(s, 0, 20_000)
	needs.Eventually(t, "the log to tell of the stall", func() bool { return strings.Contains(l.String(), "accepts no alerts") })
	sendNumbered(s, 20_000, 22_000) // the worker may have made room before it was stuck
	got := statsOf(t, s, "stdout")
	if got.Overflow == 0 || got.Queued != 1000 {
		t.Errorf("%+v", got)
	}
	if !strings.Contains(l.String(), "queue is full") {
		t.Errorf("log: %s", l)
	}
	err = s.Close(deadline(t, 10*time.Millisecond))
	got = statsOf(t, s, "stdout")
	if want := fmt.Sprintf("stdout: %d alerts not delivered", got.Undelivered); err == nil || !strings.HasPrefix(err.Error(), want) || got.Queued != 0 {
		t.Errorf("Close: %v; %+v", err, got)
	}
	// Lines in the pipe are not lost: it holds as many whole lines as were
	// counted.
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); uint64(n) != got.Sent {
		t.Errorf("%d lines in the pipe, %d counted as sent", n, got.Sent)
	}
}

// A closed reader leaves the channel without a receiver for good; the sensor is
// notified once no other channel is left.
func TestAllGone(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	c := fileConfig(filepath.Join(t.TempDir(), "events"), true)
	c.Stdout.Enabled = true
	told := make(chan struct{}, 100)
	s, err := Open(c, Options{Log: (&logs{}).logger(), Stdout: w, AllGone: func() { told <- struct{}{} }})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	sendNumbered(s, 0, 10)
	needs.Eventually(t, "the channel to be gone", func() bool { return statsOf(t, s, "stdout").Gone })
	select {
	case <-told:
		t.Error("the file is left")
	default:
	}
	alone := quiet()
	alone.Stdout.Enabled = true
	if err := replace(s, alone); err != nil {
		t.Fatal(err)
	}
	<-told
	if got := statsOf(t, s, "file"); got.Sent != 10 {
		t.Errorf("%+v", got)
	}
	closeClean(t, s)
}
