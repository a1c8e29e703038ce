package stand

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/endpoint"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
)

// alertsFrom parses the source of a running sensor's alerts. It refuses sources
// that a capacity run cannot read: it has no certificates, and reopens the
// source for each row.
func (o *Options) alertsFrom() (endpoint.Endpoint, error) {
	where := o.Alerts
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
		if _, err := o.server(from).Config(); err != nil {
			return from, fmt.Errorf("--alerts %s: the network can reach this address, and the alerts are not encrypted: use http://127.0.0.1:PORT, or unix:PATH or file:PATH on a volume of a container", where)
		}
	}
	return from, nil
}

// server is the server for alerts by HTTP. A sensor in a pod reaches its node's
// address, not its loopback: traffic to it does not leave the node.
func (o *Options) server(from endpoint.Endpoint) endpoint.Server {
	s := endpoint.Server{Address: from.Address}
	if o.Pod != "" {
		s.Security = "insecure"
	}
	return s
}

// inside is a path as a sensor in a pod knows it, through its process
// (proc_pid_root(5)).
func (o *Options) inside(path string) string {
	if o.Pod == "" || path == "" {
		return path
	}
	return filepath.Join("/proc", strconv.Itoa(o.PID), "root", path)
}

// openAlerts opens where a running sensor's alerts come from.
func (o *Options) openAlerts(ctx context.Context) (intake.Source, error) {
	from, err := o.alertsFrom()
	if err != nil {
		return nil, err
	}
	from.Path = o.inside(from.Path)
	return intake.Open(ctx, from, intake.Options{Server: o.server(from)})
}

// openStats opens a statistics file or a metrics address; nil for none.
func (o *Options) openStats() (sensorstats.Reader, error) {
	if o.Stats == "" {
		return nil, nil
	}
	from, err := endpoint.ParseStats(o.Stats)
	if err != nil {
		return nil, err
	}
	from.Path = o.inside(from.Path)
	return sensorstats.Open(from, time.Second, endpoint.Client{})
}
