package output

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// numbered is an alert whose line tells it apart.
func numbered(i int) *alert.Alert {
	text := fmt.Sprintf("Warning alert %d", i)
	return &alert.Alert{
		Time: time.Now().UnixNano(), Rule: "a rule", Priority: alert.Warning, Source: "syscall", Hostname: "h",
		Tags: []string{"t1", "t2"}, Output: text, Message: text, Line: []byte(text),
		Fields: []alert.Field{{Name: "n", Value: alert.Value{Kind: alert.Int, Int: int64(i)}}, {Name: "proc.name"}},
	}
}

func numberedLines(from, to int) []string {
	var lines []string
	for i := from; i < to; i++ {
		lines = append(lines, fmt.Sprintf("Warning alert %d", i))
	}
	return lines
}

// logs is a log that tests can search.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// quiet is a configuration without any channel and with short timeouts.
func quiet() *config.Config {
	c := config.Default()
	c.Stdout.Enabled = false
	c.OutputTimeout = 500
	return c
}

// open opens a set and closes it at the end of the test.
func open(t *testing.T, c *config.Config) (*Set, *logs) {
	t.Helper()
	l := &logs{}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { null.Close() })
	s, err := Open(c, Options{Log: l.logger(), Stdout: null, ProgramOutput: l})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(deadline(t, time.Second)) })
	return s, l
}

// replace changes s, or the set that stands in for it, to configuration c.
func replace(s *Set, c *config.Config) error {
	now := s.latest()
	next, err := now.Prepare(c)
	if err == nil {
		now.Replace(next)
		next.Settle(context.Background())
	}
	return err
}

func deadline(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func sendNumbered(s *Set, from, to int) {
	for i := from; i < to; i++ {
		s.Send(numbered(i))
	}
}

// closeClean closes s and wants nothing lost.
func closeClean(t *testing.T, s *Set) {
	t.Helper()
	if err := s.Close(deadline(t, needs.Patience)); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

// statsOf returns the counts of one channel and checks that they add up.
func statsOf(t *testing.T, s *Set, name string) metrics.Channel {
	t.Helper()
	for _, c := range s.Stats() {
		if c.Name != name {
			continue
		}
		if c.Sent+c.Queued+c.Dropped != c.Alerts {
			t.Errorf("%s: sent %d + queued %d + dropped %d is not alerts %d", name, c.Sent, c.Queued, c.Dropped, c.Alerts)
		}
		return c
	}
	t.Fatalf("no channel %s", name)
	return metrics.Channel{}
}

func readLines(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

func wantLines(t *testing.T, path string, want []string) {
	t.Helper()
	if got := readLines(t, path); !slices.Equal(got, want) {
		t.Errorf("%s: %d lines, want %d; first difference near %q", filepath.Base(path), len(got), len(want), firstDifference(got, want))
	}
}

func firstDifference(a, b []string) string {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return a[i]
		}
	}
	return ""
}

// quietLog swallows messages of test servers about failed handshakes.
func quietLog() *log.Logger { return log.New(io.Discard, "", 0) }
