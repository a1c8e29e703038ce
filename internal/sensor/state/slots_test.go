package state

import (
	"slices"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// The slots of execve serve execveat too, up to the extras.
func TestExecveatHasSlotsOfExecve(t *testing.T) {
	execve, execveat := event.KindExecve.Info().Params, event.KindExecveat.Info().Params
	if !slices.Equal(execveat, execve[:len(execveat)]) {
		t.Errorf("parameters of execveat are %v, of execve %v", execveat, execve)
	}
	if last := event.ExecveGid; len(execveat) <= last {
		t.Errorf("execveat has %d parameters, expected more than %d", len(execveat), last)
	}
}
