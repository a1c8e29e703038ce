package output

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

func programConfig(command string, keepAlive bool) *config.Config {
	c := quiet()
	c.Program = config.ProgramOutput{Enabled: true, KeepAlive: keepAlive, Program: command}
	return c
}

func TestProgram(t *testing.T) {
	for name, keepAlive := range map[string]bool{"keep_alive": true, "for each alert": false} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out")
			s, _ := open(t, programConfig("cat >> "+path, keepAlive))
			sendNumbered(s, 0, 20)
			closeClean(t, s)
			wantLines(t, path, numberedLines(0, 20))
		})
	}
}

// A program that dies is started again, and the counts add up.
func TestProgramRestarts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	s, log := open(t, programConfig("head -n 1 >> "+path, true))
	for i := range 5 {
		s.Send(numbered(i))
		needs.Eventually(t, "one more line", func() bool {
			_, err := os.Stat(path)
			return err == nil && len(readLines(t, path)) == i+1
		})
		p := s.entries[0].channel.(*pipe).senders[0].(*program)
		<-p.child.ended // the next alert meets an ended program, not a pipe about to close
	}
	closeClean(t, s)
	wantLines(t, path, numberedLines(0, 5))
	if got := statsOf(t, s, "program"); got.Sent != 5 || got.Errors == 0 {
		t.Errorf("%+v", got)
	}
	if !strings.Contains(log.String(), "program ended and is started again: exit status 0") {
		t.Errorf("log: %s", log)
	}
}

func TestProgramFails(t *testing.T) {
	s, log := open(t, programConfig("exit 3", false))
	sendNumbered(s, 0, 3)
	closeClean(t, s)
	if got := statsOf(t, s, "program"); got.Refused != 3 || got.Sent != 0 {
		t.Errorf("%+v", got)
	}
	if !strings.Contains(log.String(), "exit status 3") {
		t.Errorf("log: %s", log)
	}
}

// A program that neither reads nor ends is killed with its children, and its
// last words reach the log.
func TestProgramHangs(t *testing.T) {
	for name, keepAlive := range map[string]bool{"keep_alive": true, "for each alert": false} {
		t.Run(name, func(t *testing.T) {
			pidFile := filepath.Join(t.TempDir(), "pid")
			s, log := open(t, programConfig("echo hello; sleep 1000 & echo $! > "+pidFile+"; wait", keepAlive))
			s.Send(numbered(0))
			closeClean(t, s)
			if !strings.Contains(log.String(), "hello") {
				t.Errorf("log: %s", log)
			}
			pid := readLines(t, pidFile)[0]
			needs.Eventually(t, "the child to be gone", func() bool {
				stat, err := os.ReadFile("/proc/" + pid + "/stat")
				return err != nil || strings.Contains(string(stat), ") Z ")
			})
		})
	}
}
