package explain

import (
	"context"
	"errors"
	"io"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/capture"
	"github.com/peregrine-sec/peregrine/internal/sensor/engine"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
	"github.com/peregrine-sec/peregrine/internal/sensor/state"
)

// Source yields events until io.EOF; each is borrowed until the next.
type Source interface {
	Next() ([]byte, error)
}

var _ Source = (*capture.Reader)(nil)

// replay sends events through an engine with the rules of p; observe, if not
// nil, sees each event after that. A source that breaks off is used as far as
// it goes, and its error returned.
func replay(ctx context.Context, src Source, p *plan.Plan, observe func(*field.Context)) (*engine.Engine, error) {
	formatters := make([]engine.Formatter, len(p.Rules))
	for i := range formatters {
		formatters[i] = silent{}
	}
	e := engine.New(engine.Options{
		Table: state.NewTable(state.Options{}), Rules: engine.NewRuleset(p, formatters, true),
		Static: &field.Static{Source: "syscall", Snaplen: 80},
		Emit:   func(*alert.Alert) {}, Observe: observe,
	})
	for {
		ev, err := src.Next()
		if errors.Is(err, io.EOF) {
			return e, nil
		}
		if err != nil {
			return e, err
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
