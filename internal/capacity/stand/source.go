package stand

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/bench/intake"
	"github.com/peregrine-sec/peregrine/internal/sensorstats"
)

// OpenAlerts opens where a running sensor's alerts come from:
//
//	http, http://HOST:PORT  we listen (at localhost:8080), the sensor's http_output posts there
//	unix:PATH               we listen, the sensor writes lines
//	grpc, grpc:PATH         the sensor's gRPC socket (Falco up to 0.43)
//	PATH, or file:PATH      the sensor's file_output, followed from its end
func OpenAlerts(ctx context.Context, where string) (intake.Source, error) {
	switch where {
	case "http":
		where = "http://localhost:8080"
	case "grpc":
		where = "grpc:/run/falco/falco.sock"
	}
	scheme, rest, ok := strings.Cut(where, ":")
	switch {
	case !ok || scheme == "file":
		return intake.NewFile(strings.TrimPrefix(where, "file:"))
	case scheme == "http":
		address, err := url.Parse(where)
		if err != nil || address.Host == "" {
			return nil, fmt.Errorf("alerts from %q: expected http://HOST:PORT to listen at", where)
		}
		return intake.NewHTTP(intake.HTTPOptions{Address: address.Host})
	case scheme == "unix":
		return intake.NewUnix(strings.TrimPrefix(rest, "//"))
	case scheme == "grpc":
		return intake.NewGRPC(ctx, intake.GRPCOptions{UnixSocket: strings.TrimPrefix(rest, "//")}, 10*time.Second)
	}
	return nil, fmt.Errorf("alerts from %q: expected http://HOST:PORT, unix:PATH, grpc:PATH or a file", where)
}

// openStats opens a stats file or a metrics address; nil for none.
func openStats(where string) (sensorstats.Reader, error) {
	switch {
	case where == "":
		return nil, nil
	case strings.HasPrefix(where, "http://"), strings.HasPrefix(where, "https://"):
		return sensorstats.NewPrometheus(where, time.Second, nil), nil
	}
	return sensorstats.OpenFile(where, true)
}
