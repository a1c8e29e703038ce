package bench

import (
	"os"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/test/support/benchtest"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
	"github.com/peregrine-sec/peregrine/test/support/player"
)

// TestMain is also the player of a recorded Falco.
func TestMain(m *testing.M) {
	if os.Getenv(player.EventsEnv) != "" {
		os.Exit(player.Main(os.Args[1:]))
	}
	leaks.Main(m)
}

// benchSet are three actions of the method document's kind.
func benchSet(t *testing.T) []*action.Action {
	t.Helper()
	actions, err := action.Select("ReadSensitiveFileUntrusted|DirectoryTraversalMonitoredFileRead|ClearLogActivities", false)
	if err != nil || len(actions) != 3 {
		t.Fatal(actions, err)
	}
	return actions
}

// open is a session against f.
func open(t *testing.T, f *benchtest.Fake, change ...func(*Options)) *Session {
	t.Helper()
	o := Options{Target: f, Actions: benchSet(t), Generate: f.Generate, Drain: 50 * time.Millisecond, Linger: 50 * time.Millisecond}
	for _, c := range change {
		c(&o)
	}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
