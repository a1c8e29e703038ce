package narrate

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/generator/eventlog"
	"github.com/peregrine-sec/peregrine/internal/generator/pace"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func actions(names ...string) (choices []generator.Choice) {
	for _, name := range names {
		choices = append(choices, generator.Choice{Name: name})
	}
	return choices
}

// Slow runs get event-generator's lines.
func TestDetailed(t *testing.T) {
	var out bytes.Buffer
	o := generator.Options{Actions: actions("syscall.ClearLogActivities", "syscall.UserMgmtBinaries", "syscall.RunShellUntrusted"), Pacer: pace.Sleep{For: 100 * time.Millisecond}}
	s := New(&eventlog.Logger{Out: &out, Level: eventlog.Debug}, o, Screen{})
	s.Ready([]string{"", "only applicable to hosts", ""})
	s.Sink([]generator.Instance{{Action: 0}, {Action: 1, Skipped: true}, {Action: 0, Errno: 13}, {Action: 2}, {Action: 0, Errno: -1}})
	want := `INFO sleep for 100ms                               action=syscall.ClearLogActivities
INFO action executed                               action=syscall.ClearLogActivities
INFO sleep for 100ms                               action=syscall.UserMgmtBinaries
WARN action skipped                                action=syscall.UserMgmtBinaries reason="only applicable to hosts"
INFO sleep for 100ms                               action=syscall.ClearLogActivities
ERRO action error                                  action=syscall.ClearLogActivities error="EACCES: permission denied"
INFO sleep for 100ms                               action=syscall.RunShellUntrusted
DEBU spawn as "httpd"                              action=syscall.RunShellUntrusted
DEBU spawn as "sh"                                 action=syscall.RunShellUntrusted
INFO action executed                               action=syscall.RunShellUntrusted
INFO sleep for 100ms                               action=syscall.ClearLogActivities
ERRO action error                                  action=syscall.ClearLogActivities error="failed without an error number"
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &out, want)
	}
}

// Fast runs get each skip and each kind of failure once, and progress.
func TestFast(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		var log, screen bytes.Buffer
		now := time.Unix(0, 0)
		o := generator.Options{Actions: actions("syscall.ClearLogActivities", "syscall.UserMgmtBinaries"), Pacer: pace.Constant{Rate: 1000}, Duration: time.Minute}
		s := New(&eventlog.Logger{Out: &log, Level: eventlog.Info}, o, Screen{Out: &screen, Terminal: terminal})
		s.now = func() time.Time { return now }
		s.Ready([]string{"", "only applicable to hosts"})
		s.Ready([]string{"", "only applicable to hosts"}) // the next pass
		batch := []generator.Instance{{Start: 2000}, {Start: 2000}, {Errno: 28}, {Errno: 28}, {Action: 1, Skipped: true}}
		s.Sink(batch)
		now = now.Add(10 * time.Second)
		s.Sink(batch)
		s.Sink(batch)
		s.End(nil)
		if got := strings.Count(log.String(), "ENOSPC"); got != 1 {
			t.Errorf("one kind of failure was told %d times:\n%s", got, &log)
		}
		if got := strings.Count(log.String(), "action skipped"); got != 1 {
			t.Errorf("a skip was told %d times:\n%s", got, &log)
		}
		const line = `INFO progress                                      elapsed=10s failed=4 lateness_p99="2µs" offered=10 rate=1 skipped=2`
		const status = "\r10s/1m0s  10 actions  1/s  failed 4  skipped 2  late p99 2µs"
		if strings.Contains(log.String(), line) == terminal {
			t.Errorf("terminal %v: log\n%s", terminal, &log)
		}
		if got := strings.HasPrefix(screen.String(), status); got != terminal {
			t.Errorf("terminal %v: screen %q", terminal, screen.String())
		}
		if terminal && !strings.HasSuffix(screen.String(), "\r") {
			t.Errorf("the line stays: %q", screen.String())
		}
	}
}
