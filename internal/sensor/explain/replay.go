package explain

import (
	"context"

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

// newEngine returns an engine that counts matches, and makes no alerts.
// observe, if not nil, sees each event after the rules of p.
func newEngine(p *plan.Plan, table state.Options, observe func(*field.Context)) *engine.Engine {
	formatters := make([]engine.Formatter, len(p.Rules))
	for i := range formatters {
		formatters[i] = silent{}
	}
	return engine.New(engine.Options{
		Table: state.NewTable(table), Rules: engine.NewRuleset(p, formatters, true),
		Static: &field.Static{Source: "syscall", Snaplen: 80},
		Emit:   func(*alert.Alert) {}, Observe: observe,
	})
}

// replay sends the events of src through e. A source that breaks off is used
// as far as it goes, and its error returned.
func replay(ctx context.Context, e *engine.Engine, src Source) error {
	if err := e.Replay(ctx, src.Next); err != nil {
		return err
	}
	return ctx.Err()
}

// silent makes no alert: only the matches are counted.
type silent struct{}

var nothing alert.Alert

func (silent) Format(*field.Context) *alert.Alert { return &nothing }
