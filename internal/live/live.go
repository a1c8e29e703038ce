// Package live shows a run in a browser while it goes on: one page with
// charts that grow by server-sent events, and the report at the end.
//
// The page holds all it needs and asks nobody else; its address has a token,
// without which there is nothing to see.
package live

import (
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"sync"
	"time"
)

//go:embed assets
var assets embed.FS

var page = template.Must(template.ParseFS(assets, "assets/page.html"))

// Update is a moment of a run. Rates are per second; what is not known is nil.
type Update struct {
	Seconds float64  `json:"t"` // since the page was opened
	Phase   string   `json:"phase"`
	Target  float64  `json:"target"` // actions asked for
	Alerts  *float64 `json:"alerts"`
	Events  *float64 `json:"events"` // that the sensor has seen
	Drops   *float64 `json:"drops"`
	CPU     *float64 `json:"cpu"`     // of the sensor, in CPUs
	Limit   float64  `json:"limit"`   // of that; 0 for none
	Latency *float64 `json:"latency"` // ms, 99 of 100 alerts, of the last round
}

// maxHistory bounds what a browser that comes late is told: some hours.
const maxHistory = 1 << 16

// Look is how the page looks: the report's style and its library for charts.
type Look struct {
	Style  template.CSS
	Script template.JS
}

// Page is the page of one run. Its methods may be called from any goroutine.
type Page struct {
	begun    time.Time
	listener net.Listener
	server   *http.Server
	token    string
	data     pageData

	mu      sync.Mutex
	history [][]byte // events as they are sent
	more    chan struct{}
	ended   bool
}

type pageData struct {
	Title string
	Look
	Events string // path
}

// Listen serves the page at address: a port, or a host and a port. Without a
// host it is loopback, with port 0 a free one.
func Listen(address, title string, look Look) (*Page, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = "", address
	}
	if host == "" {
		host = "127.0.0.1"
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("--web %s: %w; expected a port, as 8080, or host:port", address, err)
	}
	p := &Page{begun: time.Now(), listener: l, token: rand.Text(), more: make(chan struct{})}
	p.data = pageData{Title: title, Look: look, Events: "/" + p.token + "/events"}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /"+p.token+"/{$}", p.servePage)
	mux.HandleFunc("GET "+p.data.Events, p.serveEvents)
	p.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = p.server.Serve(l) }() // it ends with Close
	return p, nil
}

// URL is the page's address, with its token.
func (p *Page) URL() string { return fmt.Sprintf("http://%s/%s/", p.listener.Addr(), p.token) }

// Show adds a moment.
func (p *Page) Show(u Update) {
	u.Seconds = time.Since(p.begun).Seconds()
	p.send("update", u)
}

// Say adds a line of text: a step, or the result of a round.
func (p *Page) Say(text string) { p.send("say", text) }

// End says that the run is over, with its report in HTML; "" for none. The page
// gets it with the word, as there may be nobody to ask a moment later.
func (p *Page) End(report string) {
	p.send("end", report)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	close(p.more)
}

// Close ends the server, once those who look at the page have it all, or ctx
// ends.
func (p *Page) Close(ctx context.Context) error {
	if err := p.server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("end the page: %w", err), p.server.Close())
	}
	return nil
}

func (p *Page) send(event string, value any) {
	data, err := json.Marshal(value)
	if err != nil { // numbers that are none: a gap
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended || len(p.history) >= maxHistory && event == "update" {
		return
	}
	p.history = append(p.history, fmt.Appendf(nil, "event: %s\ndata: %s\n\n", event, data))
	close(p.more)
	p.more = make(chan struct{})
}

// after returns the events from the nth on, and what is closed when there are
// more.
func (p *Page) after(n int) (events [][]byte, more <-chan struct{}, ended bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.history[n:], p.more, p.ended
}

func (p *Page) servePage(w http.ResponseWriter, _ *http.Request) {
	secure(w)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = page.Execute(w, p.data) // whoever has gone gets nothing
}

// serveEvents sends all events so far, and those that come, until the end.
func (p *Page) serveEvents(w http.ResponseWriter, r *http.Request) {
	secure(w)
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	for n := 0; ; {
		events, more, ended := p.after(n)
		for _, e := range events {
			if _, err := w.Write(e); err != nil {
				return
			}
		}
		n += len(events)
		if err := out.Flush(); err != nil || ended {
			return
		}
		select {
		case <-more:
		case <-r.Context().Done():
			return
		}
	}
}

// secure lets a page ask nobody but this server, and be in no other page.
func secure(w http.ResponseWriter) {
	w.Header().Set("Content-Security-Policy",
		"default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
}
