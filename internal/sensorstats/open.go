package sensorstats

import (
	"fmt"
	"net/http"
	"time"

	"github.com/peregrine-sec/peregrine/internal/endpoint"
)

// Open opens a file that a sensor appends to, from its present end, or a
// Prometheus endpoint, which is scraped no more often than each interval.
func Open(e endpoint.Endpoint, interval time.Duration, client endpoint.Client) (Reader, error) {
	if e.Kind == endpoint.File {
		return OpenFile(e.Path, true)
	}
	config, err := client.Config("")
	if err != nil {
		return nil, fmt.Errorf("statistics from %s: %w", e, err)
	}
	return NewPrometheus(e.Address, interval, &http.Client{Transport: &http.Transport{TLSClientConfig: config}}), nil
}
