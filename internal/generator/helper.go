package generator

import (
	"context"
	"errors"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
	"github.com/peregrine-sec/peregrine/internal/generator/engine"
	"github.com/peregrine-sec/peregrine/internal/generator/sandbox"
)

// LoadHelper has an engine load an image that consists of this program and the
// directories that actions touch. leave removes it, as does Cleanup after a
// kill; it is never nil.
func LoadHelper(ctx context.Context, e engine.Engine, stateDir string) (tag string, leave func() error, err error) {
	none := func() error { return nil }
	run := newRun()
	tag = "localhost/peregrine/helper:" + run
	journal, err := sandbox.OpenJournal(stateDir, run)
	if err != nil {
		return "", none, err
	}
	if err := journal.Image(e, tag, false); err != nil {
		return "", none, errors.Join(err, journal.Undo())
	}
	var touched []string
	for _, a := range action.All() {
		touched = append(touched, a.Touches...)
	}
	err = e.Helper(ctx, tag, touched)
	if ctx.Err() == nil { // else the client was killed
		err = errors.Join(err, journal.Image(e, tag, true))
	}
	if err != nil {
		return "", none, errors.Join(err, journal.Undo())
	}
	return tag, journal.Undo, nil
}
