package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/profile"
	"github.com/peregrine-sec/peregrine/internal/profile/record"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// A recording is seen in a browser while it goes on: its rates, and the profile
// once it was stopped, which is kept as well.
func TestProfileRecordWeb(t *testing.T) {
	needs.Root(t)
	stopped, stop := context.WithCancel(t.Context())
	stop()
	_, err := record.Run(stopped, record.Options{})
	needs.That(t, "eBPF", err)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	path := filepath.Join(t.TempDir(), "p.json")
	said, stderr := io.Pipe()
	code := make(chan int)
	go func() {
		code <- Main(Env{Args: []string{"profile", "record", "--for", "0", "--web", "0", "--quiet", "--out", path}, Stdin: strings.NewReader(""), Stdout: io.Discard,
			Stderr: stderr, Getenv: func(string) string { return "" }, Context: ctx})
		stderr.Close()
	}()
	lines := bufio.NewScanner(said)
	lines.Scan()
	url, ok := strings.CutPrefix(lines.Text(), "live: ")
	if !ok {
		t.Fatalf("no page: %q", lines.Text())
	}
	go func() { _, _ = io.Copy(io.Discard, said) }()
	defer http.DefaultClient.CloseIdleConnections()
	r, err := http.Get(url + "events")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	events := bufio.NewScanner(r.Body)
	events.Buffer(nil, 1<<20)
	next := func() (event, data string) {
		for events.Scan() && events.Text() != "" {
			if name, is := strings.CutPrefix(events.Text(), "event: "); is {
				event = name
			}
			data = strings.TrimPrefix(events.Text(), "data: ")
		}
		return event, data
	}
	event, data := next()
	var update struct{ Values []float64 }
	if err := json.Unmarshal([]byte(data), &update); event != "update" || err != nil || len(update.Values) != 4 || update.Values[0]+update.Values[1] == 0 {
		t.Errorf("%s: %s, %v", event, data, err)
	}
	cancel()
	for event == "update" {
		event, data = next()
	}
	if event != "end" || !strings.Contains(data, "Bursts of") {
		t.Errorf("the end is %s: %.200s", event, data)
	}
	if c := <-code; c != ExitOK {
		t.Errorf("exit %d", c)
	}
	if p, err := profile.ReadFile(path); err != nil || p.Rate == 0 {
		t.Errorf("%+v, %v", p, err)
	}
}
