package sensorstats

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// maxScrape bounds an answer; that of a sensor with many rules has some 100 KiB.
const maxScrape = 4 << 20

// Prometheus is a Reader of a sensor's metrics endpoint. Each scrape is one
// sample; the caller's polls in between are answered with nothing, so that
// scraping does not become a load.
type Prometheus struct {
	url      string
	client   *http.Client
	interval time.Duration
	next     time.Time
	number   uint64
	seq      sequence
}

var _ Reader = (*Prometheus)(nil)

// NewPrometheus scrapes url no more often than each interval. client may carry
// TLS settings; nil is a plain one.
func NewPrometheus(url string, interval time.Duration, client *http.Client) *Prometheus {
	if client == nil {
		client = &http.Client{}
	}
	return &Prometheus{url: url, client: client, interval: interval}
}

func (p *Prometheus) Poll(now time.Time) ([]Sample, error) {
	if now.Before(p.next) {
		return nil, nil
	}
	p.next = now.Add(p.interval)
	families, err := p.scrape()
	if err != nil {
		return nil, fmt.Errorf("scrape %s: %w", p.url, err)
	}
	events, ok := families["falcosecurity_scap_n_evts_total"]
	if !ok {
		return nil, fmt.Errorf("scrape %s: no falcosecurity_scap_n_evts_total: "+
			"set metrics.kernel_event_counters_enabled: true in the sensor's configuration", p.url)
	}
	p.number++
	s := Sample{Number: p.number, Time: now.UnixNano(), Stamped: true}
	s.Cur = Counters{
		Events:      total(events),
		Drops:       total(families["falcosecurity_scap_n_drops_total"]),
		Preemptions: total(families["falcosecurity_scap_n_preemptions_total"]),
	}
	s.Extra = p.extra(families, s.Cur)
	return []Sample{p.seq.add(s, false)}, nil
}

func (p *Prometheus) extra(families map[string]*dto.MetricFamily, cur Counters) *Extra {
	c := Causes{
		Buffer:    total(families["falcosecurity_scap_n_drops_buffer_total"]),
		PageFault: total(families["falcosecurity_scap_n_drops_page_faults_total"]),
		Scratch:   total(families["falcosecurity_scap_n_drops_scratch_map_total"]),
	}
	c.Other = cur.Drops - min(cur.Drops, c.Buffer+c.PageFault+c.Scratch)
	return &Extra{
		Alerts:         total(families["falcosecurity_falco_rules_matches_total"]),
		OutputsDropped: total(families["falcosecurity_falco_outputs_queue_num_drops_total"]),
		DropsByCause:   c,
	}
}

func (p *Prometheus) scrape() (map[string]*dto.MetricFamily, error) {
	ctx, cancel := context.WithTimeout(context.Background(), max(p.interval, time.Second))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answer %s", resp.Status)
	}
	text, err := values(http.MaxBytesReader(nil, resp.Body, maxScrape))
	if err != nil {
		return nil, err
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(text)
}

// values leaves the lines of HELP and TYPE out. Falco writes them again before
// each series of a family, which the format forbids and the parser refuses.
func values(body io.Reader) (io.Reader, error) {
	var text bytes.Buffer
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxScrape)
	for lines.Scan() {
		if line := lines.Bytes(); !bytes.HasPrefix(line, []byte("#")) {
			text.Write(line)
			text.WriteByte('\n')
		}
	}
	return &text, lines.Err()
}

// total is the sum over a family's series; 0 for a family that is absent. Falco
// writes some series once for each of its event sources, all with one value.
func total(f *dto.MetricFamily) uint64 {
	series := map[string]float64{}
	for _, m := range f.GetMetric() {
		var labels strings.Builder
		for _, l := range m.Label {
			fmt.Fprintf(&labels, "%q=%q ", l.GetName(), l.GetValue())
		}
		series[labels.String()] = max(series[labels.String()], m.Untyped.GetValue())
	}
	var sum float64
	for _, value := range series {
		sum += value
	}
	return uint64(sum)
}

func (p *Prometheus) Close() error {
	p.client.CloseIdleConnections()
	return nil
}
