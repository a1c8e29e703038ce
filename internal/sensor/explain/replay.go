package explain

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/capture"
	"github.com/peregrine-sec/peregrine/internal/sensor/engine"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// replay sends the events of a capture through an engine with the rules of p;
// observe, if not nil, sees each event after that. A capture that is cut off
// is read as far as it goes, and the error told at the end.
func replay(ctx context.Context, path string, p *plan.Plan, observe func(*field.Context)) (*engine.Engine, error) {
	r, err := capture.Open(path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	formatters := make([]engine.Formatter, len(p.Rules))
	for i := range formatters {
		formatters[i] = silent{}
	}
	e := engine.New(engine.Options{
		Table: state.NewTable(state.Options{}), Rules: engine.NewRuleset(p, formatters, true),
		Static: &field.Static{Source: "syscall", Hostname: r.Machine().Hostname, Snaplen: 80},
		Emit:   func(*alert.Alert) {}, Observe: observe,
	})
	for {
		ev, err := r.Next()
		if errors.Is(err, io.EOF) {
			return e, nil
		}
		if err != nil {
			return e, fmt.Errorf("%s: %w", path, err)
		}
		if ctx.Err() != nil {
			return e, ctx.Err()
		}
		e.Handle(ev)
	}
}

// silent makes no alert: only the matches are counted.
type silent struct{}

var nothing alert.Alert

func (silent) Format(*field.Context) *alert.Alert { return &nothing }
