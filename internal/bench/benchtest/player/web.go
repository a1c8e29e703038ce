package player

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// serveWeb answers /healthz, and /metrics if it is on, until ctx ends.
func serveWeb(ctx context.Context, c config, seen *atomic.Pointer[engine]) {
	port := c.settings["webserver.listen_port"]
	if port == "" {
		port = "8765"
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		fmt.Fprintf(os.Stderr, "Error: webserver: %v\n", err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, `{"status": "ok"}`) })
	if c.on("webserver.prometheus_metrics_enabled") && c.on("metrics.enabled") {
		mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
			e := seen.Load()
			fmt.Fprintf(w, "# TYPE falcosecurity_scap_n_evts_total counter\nfalcosecurity_scap_n_evts_total %d\n"+
				"# TYPE falcosecurity_scap_n_drops_total counter\nfalcosecurity_scap_n_drops_total %d\n"+
				"# TYPE falcosecurity_falco_rules_matches_total counter\nfalcosecurity_falco_rules_matches_total{rule_name=\"r\"} %d\n", e.events, e.drops, e.handled)
		})
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	context.AfterFunc(ctx, func() { server.Close() })
	go func() { _ = server.Serve(listener) }() // ends with the server
}
