package player

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// serveWeb answers /healthz, and /metrics if it is on, until ctx ends.
func serveWeb(ctx context.Context, c config, seen *atomic.Pointer[engine]) {
	port := cmp.Or(c.settings["webserver.listen_port"], "8765")
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
			family(w, "scap_n_evts_total", fmt.Sprintf(" %d", e.events))
			family(w, "scap_n_drops_buffer_total", fmt.Sprintf(`{dir="enter",drop="open"} %d`, e.drops), `{dir="exit",drop="open"} 0`)
			family(w, "scap_n_drops_total", fmt.Sprintf(" %d", e.drops))
			family(w, "falco_rules_matches_total", fmt.Sprintf(`{rule_name="r"} %d`, e.handled))
		})
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	context.AfterFunc(ctx, func() { server.Close() })
	go func() { _ = server.Serve(listener) }() // ends with the server
}

// family writes HELP and TYPE again before each series, as Falco does.
func family(w io.Writer, name string, series ...string) {
	for _, s := range series {
		fmt.Fprintf(w, "# HELP falcosecurity_%s https://falco.org/docs/metrics/\n# TYPE falcosecurity_%s counter\nfalcosecurity_%s%s\n", name, name, name, s)
	}
}
