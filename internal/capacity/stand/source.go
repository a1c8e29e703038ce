package stand

import (
	"context"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/endpoint"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
)

// openAlerts opens where a running sensor's alerts come from.
func openAlerts(ctx context.Context, where string) (intake.Source, error) {
	from, err := endpoint.ParseAlerts(where)
	if err != nil {
		return nil, err
	}
	return intake.Open(ctx, from, intake.Options{})
}

// openStats opens a statistics file or a metrics address; nil for none.
func openStats(where string) (sensorstats.Reader, error) {
	if where == "" {
		return nil, nil
	}
	from, err := endpoint.ParseStats(where)
	if err != nil {
		return nil, err
	}
	return sensorstats.Open(from, time.Second, endpoint.Client{})
}
