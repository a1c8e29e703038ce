package stand

import (
	"context"
	"fmt"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/endpoint"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
)

// alertsFrom reads where a running sensor's alerts come from. It refuses what
// a capacity run cannot read: it has no certificates, and opens the source anew
// for each row.
func alertsFrom(where string) (endpoint.Endpoint, error) {
	from, err := endpoint.ParseAlerts(where)
	switch {
	case err != nil:
		return from, fmt.Errorf("--alerts: %w", err)
	case from.Kind == endpoint.Stdin:
		return from, fmt.Errorf("--alerts %s: each row reads the alerts anew, and standard input is read once: have the sensor write them to a file, and give file:PATH", where)
	case from.TLS:
		return from, fmt.Errorf("--alerts %s: a capacity run has no certificate to serve TLS with: run it on the sensor's host with http://127.0.0.1:PORT, unix:PATH or file:PATH", where)
	case from.Kind == endpoint.GRPC && from.Address != "":
		return from, fmt.Errorf("--alerts %s: a capacity run has no certificate for gRPC over the network: run it on the sensor's host with grpc:PATH, the sensor's socket", where)
	case from.Kind == endpoint.HTTP:
		if _, err := (endpoint.Server{Address: from.Address}).Config(); err != nil {
			return from, fmt.Errorf("--alerts %s: the network can reach this address, and the alerts are not encrypted: use http://127.0.0.1:PORT, or unix:PATH or file:PATH on a volume of a container", where)
		}
	}
	return from, nil
}

// openAlerts opens where a running sensor's alerts come from.
func openAlerts(ctx context.Context, where string) (intake.Source, error) {
	from, err := alertsFrom(where)
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
