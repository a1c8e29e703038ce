package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics/live"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// sensor is the process under test.
type sensor struct {
	cmd    *exec.Cmd
	client *live.Client
	log    *os.File
	lines  atomic.Uint64 // alerts read from its standard output
	// contained has its alerts about the programs in containers.
	contained contained
	pause     sync.Mutex    // held: its standard output is not read
	read      chan struct{} // closed at the end of its output
	halted    atomic.Bool   // by SIGSTOP: it cannot answer
	ended     bool
}

func start(ctx context.Context, binary string, w *world) (*sensor, error) {
	log, err := os.Create(w.file("log"))
	if err != nil {
		return nil, err
	}
	s := &sensor{log: log, read: make(chan struct{}), client: live.NewClient(w.file("status.sock"))}
	s.cmd = exec.Command(binary, "sensor", "-c", w.file("config.yaml"))
	s.cmd.Stderr = log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(s.read)
		for in := bufio.NewReader(out); ; s.lines.Add(1) {
			s.mayRead()
			line, err := in.ReadSlice('\n')
			if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
				return
			}
			s.contained.note(line)
		}
	}()
	for range 600 {
		if _, err = s.client.Snapshot(ctx); err == nil {
			return s, nil
		}
		if err := wait.For(ctx, 100*time.Millisecond); err != nil {
			break
		}
	}
	s.kill()
	return nil, fmt.Errorf("the sensor does not answer: %w\n%s", err, s.tail())
}

// mayRead waits while reading the sensor's output is paused.
func (s *sensor) mayRead() {
	s.pause.Lock()
	defer s.pause.Unlock()
}

func (s *sensor) pid() int { return s.cmd.Process.Pid }

func (s *sensor) kill() {
	if s.ended {
		return
	}
	s.ended = true
	_ = s.cmd.Process.Kill()
	<-s.read
	_ = s.cmd.Wait()
}

// tail is the end of its log.
func (s *sensor) tail() string {
	text, _ := os.ReadFile(s.log.Name()) // for an error that is already reported
	lines := bytes.Split(text, []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-20):], []byte("\n")))
}

func (s *sensor) signal(sig syscall.Signal) error { return s.cmd.Process.Signal(sig) }

// descriptors is the number of its open files.
func (s *sensor) descriptors() int {
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.pid()))
	if err != nil {
		return -1
	}
	return len(list)
}

// stop ends the sensor, and compares its counts of the last alerts with those
// received.
func (s *sensor) stop(w *world) error {
	last, err := s.client.Snapshot(context.Background())
	if err != nil {
		return err
	}
	if err := s.signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-s.read:
	case <-time.After(20 * time.Second):
		s.kill()
		return fmt.Errorf("the sensor has not ended 20 s after SIGTERM\n%s", s.tail())
	}
	s.ended = true
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("the sensor ended with %w\n%s", err, s.tail())
	}
	if _, err := os.Stat(w.file("status.sock")); !os.IsNotExist(err) {
		return fmt.Errorf("the status socket is left: %v", err)
	}
	return errors.Join(
		received(last, "stdout", s.lines.Load(), 0),
		received(last, "http", w.taken.Load(), uncertain(last)),
		s.contained.err())
}

// received compares a channel's count of sent alerts with those received. Some
// of the sensor's own alerts arrive at the very end.
func received(last *metrics.Snapshot, name string, n, unsure uint64) error {
	for _, c := range last.Channels {
		const goodbye = 10
		if c.Name == name && (n < c.Sent || n > c.Sent+unsure+goodbye) {
			return fmt.Errorf("channel %s counts %d alerts as sent, and %d have come (%d uncertain)", name, c.Sent, n, unsure)
		}
	}
	return nil
}

func uncertain(m *metrics.Snapshot) (n uint64) {
	for _, c := range m.Channels {
		n += c.Uncertain
	}
	return n
}
