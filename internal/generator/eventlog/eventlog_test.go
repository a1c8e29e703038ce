package eventlog

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// The lines are those that event-generator writes.
func TestLines(t *testing.T) {
	for _, test := range []struct {
		name    string
		level   Level
		message string
		fields  Fields
		text    string
		json    string
	}{
		{"executed", Info, "action executed", Fields{"action": "syscall.ClearLogActivities"},
			"INFO action executed                               action=syscall.ClearLogActivities",
			`{"action":"syscall.ClearLogActivities","level":"info","msg":"action executed"}`},
		{"skipped, with a reason in quotes", Warn, "action skipped", Fields{"reason": "only applicable to containers", "action": "syscall.A"},
			`WARN action skipped                                action=syscall.A reason="only applicable to containers"`,
			`{"action":"syscall.A","level":"warning","msg":"action skipped","reason":"only applicable to containers"}`},
		{"error", Error, "action error", Fields{"error": errors.New("test failed")},
			`ERRO action error                                  error="test failed"`,
			`{"error":"test failed","level":"error","msg":"action error"}`},
		{"durations: milliseconds are plain, microseconds are not", Debug, "d", Fields{"a": 100 * time.Millisecond, "b": 12207 * time.Nanosecond},
			`DEBU d                                             a=100ms b="12.207µs"`,
			`{"a":100000000,"b":12207,"level":"debug","msg":"d"}`},
		{"plain characters", Info, "x", Fields{"a": "A-z0.9_/@^+", "b": "38.1%", "c": "", "d": true, "e": 1.5},
			`INFO x                                             a=A-z0.9_/@^+ b="38.1%" c= d=true e=1.5`,
			`{"a":"A-z0.9_/@^+","b":"38.1%","c":"","d":true,"e":1.5,"level":"info","msg":"x"}`},
		{"a long message", Info, "a message that is longer than its forty-four columns", nil,
			"INFO a message that is longer than its forty-four columns ", `{"level":"info","msg":"a message that is longer than its forty-four columns"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			for format, want := range map[bool]string{false: test.text, true: test.json} {
				var out bytes.Buffer
				(&Logger{Out: &out, Level: Debug, JSON: format}).Log(test.level, test.message, test.fields)
				if got := out.String(); got != want+"\n" {
					t.Errorf("got  %q\nwant %q", got, want)
				}
			}
		})
	}
}

func TestLevels(t *testing.T) {
	var out bytes.Buffer
	l := &Logger{Out: &out, Level: Warn}
	l.Log(Info, "no", nil)
	l.Log(Warn, "yes", nil)
	if got := out.String(); got[:4] != "WARN" || bytes.Count(out.Bytes(), []byte("\n")) != 1 {
		t.Errorf("%q", got)
	}
	for name, want := range map[string]Level{"trace": Debug, "DEBUG": Debug, "info": Info, "warn": Warn, "warning": Warn, "error": Error, "fatal": Error} {
		if got, err := ParseLevel(name); err != nil || got != want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	if _, err := ParseLevel("loud"); err == nil {
		t.Error("no error for an unknown level")
	}
}

func TestColours(t *testing.T) {
	var out bytes.Buffer
	(&Logger{Out: &out, Color: true}).Log(Warn, "m", Fields{"k": "v"})
	want := "\x1b[33mWARN\x1b[0m m                                             \x1b[33mk\x1b[0m=v\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
