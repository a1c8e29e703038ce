// Package live shows a run while it goes on, in a browser: one page with charts
// that grow by server-sent events, and the report at the end. (Package terminal
// shows the same on a terminal.)
//
// The page is self-contained and contacts no other host; its address has a
// token, without which the server shows nothing.
package live

import (
	"cmp"
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

	"github.com/peregrine-sec/peregrine/internal/page"
)

//go:embed assets
var assets embed.FS

var document = page.Parts(assets, "assets/live.html")

// maxHistory bounds the events kept for a browser that connects late: some
// hours.
const maxHistory = 1 << 16

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
	Title  string
	Style  template.CSS
	Script template.JS
	Charts []page.Chart
	Data   template.JS // the charts
	Events string      // path
}

// Listen serves the page at address: a port, or a host and a port. Without a
// host it is loopback, with port 0 a free one.
func Listen(address string, board Board) (*Page, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = "", address
	}
	l, err := net.Listen("tcp", net.JoinHostPort(cmp.Or(host, "127.0.0.1"), port))
	if err != nil {
		return nil, fmt.Errorf("--web %s: %w; expected a port such as 8080, or HOST:PORT", address, err)
	}
	p := &Page{begun: time.Now(), listener: l, token: rand.Text(), more: make(chan struct{})}
	charts := board.charts()
	data, err := page.Data(charts)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	p.data = pageData{board.Title, page.Style(), page.Script(), charts, data, "/" + p.token + "/events"}
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
	p.send("update", moment{time.Since(p.begun).Seconds(), u.Phase, u.Values})
}

// Say adds a line of text: a step, or the result of a round.
func (p *Page) Say(text string) { p.send("say", text) }

// End says that the run is over, with its report in HTML; "" for none. The page
// gets it with the event, since the server may be gone a moment later.
func (p *Page) End(report string) {
	p.send("end", report)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	close(p.more)
}

// Close ends the server, once the page's viewers have all events, or ctx ends.
func (p *Page) Close(ctx context.Context) error {
	if err := p.server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("end the page: %w", err), p.server.Close())
	}
	return nil
}

func (p *Page) send(event string, value any) {
	data, err := json.Marshal(value)
	if err != nil { // all values can be written as JSON
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

// after returns the events from the nth on, and a channel that is closed when
// there are more.
func (p *Page) after(n int) (events [][]byte, more <-chan struct{}, ended bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.history[n:], p.more, p.ended
}

func (p *Page) servePage(w http.ResponseWriter, _ *http.Request) {
	secure(w)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = document().ExecuteTemplate(w, "live.html", p.data) // viewers that have gone get nothing
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

// secure restricts a page to this server, and forbids other pages to frame it.
func secure(w http.ResponseWriter) {
	w.Header().Set("Content-Security-Policy",
		"default-src 'none'; connect-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'")
	w.Header().Set("Referrer-Policy", "no-referrer")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
}

// Board is the dashboard of a run: each line of its charts is a figure that
// changes. The lines hold no values.
type Board struct {
	Title  string
	Charts []page.Chart
}

// Update is a moment of a run: a value for each line, in the order of the
// charts; NaN for unknown ones.
type Update struct {
	Phase  string
	Values page.Values
}

// moment is an Update as the page gets it.
type moment struct {
	Seconds float64     `json:"t"` // since the page was opened
	Phase   string      `json:"phase"`
	Values  page.Values `json:"values"`
}

// charts are those of the page.
func (b Board) charts() []page.Chart {
	var all []page.Chart
	for i, c := range b.Charts {
		c.ID, c.Height, c.Live, c.Label = fmt.Sprintf("chart-%d", i), 220, true, c.Caption
		c.X = page.Axis{Unit: page.Seconds}
		all = append(all, c)
	}
	return all
}
