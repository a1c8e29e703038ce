package player

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// output is where alerts go.
type output struct {
	stdout   *bufio.Writer // nil if off
	buffered bool
	file     *os.File // nil if off
	url      string   // "" if off
}

// stdioBuffer is what the C library holds back of a standard output that is no
// terminal.
const stdioBuffer = 4096

func openOutput(c config) (*output, error) {
	o := &output{buffered: c.on("buffered_outputs")}
	if c.settings["stdout_output.enabled"] != "false" {
		o.stdout = bufio.NewWriterSize(os.Stdout, stdioBuffer)
	}
	if c.on("http_output.enabled") {
		o.url = c.settings["http_output.url"]
	}
	if c.on("file_output.enabled") {
		var err error
		if o.file, err = os.OpenFile(c.settings["file_output.filename"], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
			return nil, fmt.Errorf("file_output: %w", err)
		}
	}
	return o, nil
}

// alert hands a line on. An output that has gone is Falco's to complain of,
// not a reason to end.
func (o *output) alert(line []byte) {
	if o.stdout != nil {
		_, _ = o.stdout.Write(line)
		if !o.buffered {
			_ = o.stdout.Flush()
		}
	}
	if o.file != nil {
		_, _ = o.file.Write(line)
	}
	if o.url != "" {
		if resp, err := http.Post(o.url, "application/json", bytes.NewReader(bytes.TrimSpace(line))); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}
}

// close writes the last words.
func (o *output) close(words string) {
	if o.stdout != nil {
		_, _ = o.stdout.WriteString(words)
		_ = o.stdout.Flush()
	}
	if o.file != nil {
		o.file.Close()
	}
}

// metrics is metrics.output_file.
type metrics struct {
	file     *os.File // nil if off
	interval time.Duration
	last     time.Time
	sample   int
	previous engine
}

func openMetrics(c config) (*metrics, error) {
	m := &metrics{interval: c.metricsInterval()}
	path := c.settings["metrics.output_file"]
	if path == "" || !c.on("metrics.enabled") {
		return m, nil
	}
	var err error
	if m.file, err = os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err != nil {
		return nil, fmt.Errorf("metrics.output_file: %w", err)
	}
	return m, nil
}

// tick writes a line if an interval has passed. It is called when an event
// arrives, and only then: so does Falco.
func (m *metrics) tick(now time.Time, e *engine) {
	if m.file == nil || now.Sub(m.last) < m.interval {
		return
	}
	m.last = now
	m.sample++
	fmt.Fprintf(m.file, `{"output_fields":{"evt.source":"syscall","evt.time":%d,"falco.num_evts":%d,"falco.outputs_queue_num_drops":0,"falco.rules.matches_total":%d,`+
		`"falco.version":"0.44.1","scap.engine_name":"modern_bpf","scap.n_drops":%d,"scap.n_drops_prev":%d,"scap.n_evts":%d,"scap.n_evts_prev":%d},"sample":%d}`+"\n",
		now.UnixNano(), e.events-e.drops, e.handled, e.drops, m.previous.drops, e.events, m.previous.events, m.sample)
	m.previous = *e
}

// serveHealth answers /healthz until ctx ends.
func serveHealth(ctx context.Context, c config) {
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
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}
	context.AfterFunc(ctx, func() { server.Close() })
	go func() { _ = server.Serve(listener) }() // ends with the server
}
