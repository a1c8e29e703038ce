package player

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// output is where alerts go.
type output struct {
	stdout   *bufio.Writer // nil if off
	buffered bool
	text     bool     // json_output is off
	file     *os.File // nil if off
	url      string   // "" if off
	grpc     *Subscription
}

// stdioBuffer is the size of the C library's buffer for a standard output that
// is not a terminal.
const stdioBuffer = 4096

func openOutput(c config) (*output, error) {
	o := &output{buffered: c.buffered, text: c.settings["json_output"] == "false"}
	if c.grpc() != "" {
		o.grpc = &Subscription{}
	}
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
	if o.text {
		line = []byte(time.Now().Format("15:04:05.000000000") + ": Warning Sensitive file opened for reading (file=/etc/shadow)\n")
	}
	if o.stdout != nil {
		_, _ = o.stdout.Write(line)
		if !o.buffered {
			_ = o.stdout.Flush()
		}
	}
	if o.file != nil {
		_, _ = o.file.Write(line)
	}
	if o.grpc != nil {
		o.grpc.Alert(line)
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

// metrics is metrics.output_file, or the file of -s before 0.35.
type metrics struct {
	file     *os.File // nil if off
	old      bool
	interval time.Duration
	last     time.Time
	sample   int
	previous engine
}

func openMetrics(c config) (*metrics, error) {
	m := &metrics{interval: c.metricsInterval(), old: c.minor < 35}
	path := c.settings["metrics.output_file"]
	switch {
	case m.old:
		path = c.stats
	case !c.on("metrics.enabled"):
		path = ""
	}
	if path == "" {
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
func (m *metrics) tick(now time.Time, e *engine) (sampled bool) {
	if m.file == nil || now.Sub(m.last) < m.interval {
		return false
	}
	m.last = now
	m.sample++
	if m.old {
		fmt.Fprintf(m.file, `{"sample":%d,"syscall":{"cur":{"events":%d,"drops":%d,"preemptions":0,"drop_pct":0.0},"delta":{"events":%d,"drops":%d,"preemptions":0,"drop_pct":0.0}}}`+"\n",
			m.sample, e.events, e.drops, e.events-m.previous.events, e.drops-m.previous.drops)
		m.previous = *e
		return true
	}
	fmt.Fprintf(m.file, `{"output_fields":{"evt.source":"syscall","evt.time":%d,"falco.num_evts":%d,"falco.outputs_queue_num_drops":0,"falco.rules.matches_total":%d,`+
		`"falco.version":"0.44.1","scap.engine_name":"modern_bpf","scap.n_drops":%d,"scap.n_drops_prev":%d,"scap.n_evts":%d,"scap.n_evts_prev":%d},"sample":%d}`+"\n",
		now.UnixNano(), e.events-e.drops, e.handled, e.drops, m.previous.drops, e.events, m.previous.events, m.sample)
	m.previous = *e
	return true
}

// snapshots says whether each sample is an alert too.
func (c config) snapshots() bool {
	return c.minor >= 35 && c.on("metrics.enabled") && c.settings["metrics.output_rule"] != "false"
}

// snapshot is that alert.
func snapshot(now time.Time) []byte {
	return fmt.Appendf(nil, `{"hostname":"player","output_fields":{"evt.source":"syscall","evt.time":%d,"scap.engine_name":"modern_bpf"},`+
		`"priority":"Informational","rule":"Falco internal: metrics snapshot","source":"internal","tags":[],"time":"%s"}`+"\n",
		now.UnixNano(), now.UTC().Format("2006-01-02T15:04:05.000000000Z"))
}
