package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/engine"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
	"github.com/peregrine-sec/peregrine/test/support/needs"
)

var testLimits = Limits{EventBytes: 4 << 10, BodyBytes: 64 << 10, Patience: 20 * time.Second}

// event is an audit event with the given verb.
func event(verb string) string {
	return `{"kind":"Event","auditID":"id","stageTimestamp":"2026-01-02T03:04:05.678901Z","verb":"` + verb + `"}`
}

func ruleset(t testing.TB, all bool, text string) *Ruleset {
	t.Helper()
	set, report := rules.Load([]rules.Source{{Name: "r.yaml", Content: []byte(text)}},
		rules.Options{Lookup: field.Lookup, Sources: []string{field.SyscallSource, field.K8sAuditSource}})
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	r, err := NewRuleset(set.Enabled(alert.Debug), all, func(r *rules.Rule) (engine.Formatter, error) {
		return alert.New(alert.Rule{Name: r.Name, Priority: r.Priority, Source: r.Source}, r.Output, alert.Options{})
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const verbRules = `
- {rule: all, desc: d, condition: ka.verb exists, output: verb %ka.verb, priority: INFO, source: k8s_audit}
- {rule: get, desc: d, condition: ka.verb = get, output: "%evt.num %jevt.value[/verb]", priority: INFO, source: k8s_audit}
- {rule: other, desc: d, condition: evt.type = open, output: x, priority: INFO}
`

// running is a source with its engine.
type running struct {
	*Source
	Engine *Engine
	mu     sync.Mutex
	alerts []string
	served chan error
	stop   context.CancelFunc
}

// start runs a source until the test ends.
func start(t testing.TB, o Options, r *Ruleset) *running {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	source, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	run := &running{Source: source, served: make(chan error, 1)}
	run.Engine = NewEngine(r, &field.Static{Source: field.K8sAuditSource}, func(a *alert.Alert) {
		run.mu.Lock()
		run.alerts = append(run.alerts, a.Rule+": "+a.Message)
		run.mu.Unlock()
	})
	serving, stop := context.WithCancel(context.Background())
	run.stop = stop
	matching, end := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { run.Engine.Run(matching, source.Bodies()); close(done) }()
	go func() { run.served <- source.Serve(serving) }()
	t.Cleanup(func() {
		stop()
		end()
		<-done
	})
	return run
}

func (r *running) seen() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.alerts)
}

// end waits until the source ends, and returns its error.
func (r *running) end(t testing.TB) error {
	t.Helper()
	select {
	case err := <-r.served:
		return err
	case <-time.After(time.Minute):
		t.Fatal("the source has not ended within a minute")
		return nil
	}
}

// await waits for n alerts.
func (r *running) await(t testing.TB, n int) []string {
	t.Helper()
	needs.Eventually(t, fmt.Sprint(n, " alerts"), func() bool { return len(r.seen()) >= n })
	return r.seen()
}

func TestEngineFirstAndAll(t *testing.T) {
	for all, want := range map[bool][]string{
		false: {"all: verb get", "all: verb list"},
		true:  {"all: verb get", "get: 1 get", "all: verb list"},
	} {
		run := start(t, Options{Open: write(t, "log", event("get")+"\n"+event("list")+"\n"), Limits: testLimits}, ruleset(t, all, verbRules))
		if err := run.end(t); err != nil {
			t.Fatal(err)
		}
		if got := run.seen(); !slices.Equal(got, want) {
			t.Errorf("all=%v: %q, want %q", all, got, want)
		}
	}
}

func TestEngineSwapsRules(t *testing.T) {
	run := start(t, Options{Open: "http://127.0.0.1:0/k8s-audit", Limits: testLimits}, ruleset(t, false, verbRules))
	post := func(body string) {
		if status, text := send(t, run, body); status != http.StatusOK {
			t.Fatal(status, text)
		}
	}
	post(event("get"))
	next := ruleset(t, false, `[{rule: new, desc: d, condition: ka.verb = get, output: x, priority: INFO, source: k8s_audit}]`)
	if err := run.Engine.Do(t.Context(), func() { run.Engine.Swap(next, &field.Static{}) }); err != nil {
		t.Fatal(err)
	}
	post(event("get"))
	if got, want := run.seen(), []string{"all: verb get", "new: x"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if next.Matches[0] != 1 || next.Evaluations[0] != 1 {
		t.Error(next.Matches, next.Evaluations)
	}
}

func write(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// send posts a body and returns the answer.
func send(t testing.TB, run *running, body string) (int, string) {
	t.Helper()
	resp, err := http.Post("http://"+run.Address+"/k8s-audit", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestWebhookRequests(t *testing.T) {
	list := func(items ...string) string { return `{"kind":"EventList","items":[` + strings.Join(items, ",") + `]}` }
	for _, tt := range []struct {
		name, method, path, kind, body string
		status                         int
		answer                         string
		alerts                         int
		counters                       Counters
	}{
		{"list", "POST", "/k8s-audit", "application/json", list(event("get"), event("list")), 200, "", 2, Counters{Bodies: 1, Events: 2}},
		{"with charset", "POST", "/k8s-audit", "application/json; charset=utf-8", event("get"), 200, "", 1, Counters{Bodies: 1, Events: 1}},
		{"bad neighbour", "POST", "/k8s-audit", "application/json", list(event("get"), `{}`, event("list")), 200, "", 2, Counters{Bodies: 1, Events: 2, Malformed: 1}},
		{"large neighbour", "POST", "/k8s-audit", "application/json", list(event("get"), event(strings.Repeat("x", 5000))), 200, "", 1, Counters{Bodies: 1, Events: 1, Oversized: 1}},
		{"truncated", "POST", "/k8s-audit", "application/json", list(event("get"), event("list"))[:200], 400, "not JSON", 1, Counters{Bodies: 1, Events: 1, Malformed: 1}},
		{"empty", "POST", "/k8s-audit", "application/json", "", 400, "not JSON", 0, Counters{Bodies: 1, Malformed: 1}},
		{"another object", "POST", "/k8s-audit", "application/json", `{"kind":"Pod"}`, 200, "", 0, Counters{Bodies: 1, Malformed: 1}},
		{"GET", "GET", "/k8s-audit", "application/json", "", 405, "expected POST", 0, Counters{Rejected: 1}},
		{"PUT", "PUT", "/k8s-audit", "application/json", event("get"), 405, "expected POST", 0, Counters{Rejected: 1}},
		{"other path", "POST", "/k8s-audit/", "application/json", event("get"), 404, "/k8s-audit", 0, Counters{Rejected: 1}},
		{"no type", "POST", "/k8s-audit", "", event("get"), 400, "application/json", 0, Counters{Rejected: 1}},
		{"YAML", "POST", "/k8s-audit", "application/yaml", event("get"), 400, "application/json", 0, Counters{Rejected: 1}},
		{"too large", "POST", "/k8s-audit", "application/json", strings.Repeat(" ", 70<<10), 400, "more than the limit of 65536", 0, Counters{Rejected: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			run := start(t, Options{Open: "http://127.0.0.1:0/k8s-audit", Limits: testLimits}, ruleset(t, false, verbRules))
			req, err := http.NewRequest(tt.method, "http://"+run.Address+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", tt.kind)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			answer, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != tt.status || !strings.Contains(string(answer), tt.answer) || tt.answer == "" && len(answer) > 0 {
				t.Errorf("%d %q, want %d %q", resp.StatusCode, answer, tt.status, tt.answer)
			}
			if got := run.seen(); len(got) != tt.alerts {
				t.Errorf("alerts %q, want %d", got, tt.alerts)
			}
			got := run.Counters()
			got.Bytes = 0
			if got != tt.counters {
				t.Errorf("%+v, want %+v", got, tt.counters)
			}
		})
	}
}

// A body whose length is not told in advance has the same limit.
func TestWebhookChunked(t *testing.T) {
	run := start(t, Options{Open: "http://127.0.0.1:0/k8s-audit", Limits: testLimits}, ruleset(t, false, verbRules))
	for size, want := range map[int]int{100: http.StatusOK, 70 << 10: http.StatusBadRequest} {
		body := io.MultiReader(strings.NewReader(event("get")), strings.NewReader(strings.Repeat(" ", size)))
		resp, err := http.Post("http://"+run.Address+"/k8s-audit", "application/json", body)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%d bytes: %d, want %d", size, resp.StatusCode, want)
		}
	}
}

// Senders that stop in the middle of large bodies do not delay others.
func TestWebhookSlowSenders(t *testing.T) {
	limits := testLimits
	limits.BodyBytes = 1 << 20
	run := start(t, Options{Open: "http://127.0.0.1:0/k8s-audit", Limits: limits}, ruleset(t, false, verbRules))
	body := event("slow")
	body += strings.Repeat(" ", limits.BodyBytes-len(body))
	head := fmt.Sprintf("POST /k8s-audit HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body))
	var slow []net.Conn
	for range 10 * maxBodies {
		conn, err := net.Dial("tcp", run.Address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte(head + body[:20])); err != nil {
			t.Fatal(err)
		}
		slow = append(slow, conn)
	}
	if status, text := send(t, run, event("quick")); status != http.StatusOK {
		t.Fatal(status, text)
	}
	if _, err := slow[0].Write([]byte(body[20:])); err != nil {
		t.Fatal(err)
	}
	if got := run.await(t, 2); got[0] != "all: verb quick" || got[1] != "all: verb slow" {
		t.Errorf("%q", got)
	}
}

// Plain HTTP of other hosts is refused, unless that is wanted.
// It shows a row of docs/compatibility.md.
func TestWebhookFromElsewhere(t *testing.T) {
	for _, tt := range []struct {
		from     string
		anywhere bool
		status   int
	}{
		{"127.0.0.1:5", false, 404}, {"[::1]:5", false, 404}, {"[::ffff:127.0.0.1]:5", false, 404},
		{"192.0.2.1:5", false, 403}, {"[2001:db8::1]:5", false, 403}, {"", false, 403}, {"192.0.2.1:5", true, 404},
	} {
		hook := &webhook{in: newIntake(testLimits, slog.New(slog.DiscardHandler)), path: "/k8s-audit", anywhere: tt.anywhere}
		req := httptest.NewRequest("POST", "/elsewhere", nil) // a path that goes no further
		req.RemoteAddr = tt.from
		resp := httptest.NewRecorder()
		hook.ServeHTTP(resp, req)
		if resp.Code != tt.status || tt.status == 403 && !strings.Contains(resp.Body.String(), "this host only") {
			t.Errorf("%+v: %d %s", tt, resp.Code, resp.Body)
		}
	}
}

// With an engine that does not keep up, a sender waits and is then refused; the
// memory held meanwhile stays within the bounds.
// It shows a row of docs/compatibility.md.
func TestWebhookSlowEngine(t *testing.T) {
	limits := testLimits
	limits.Patience = 50 * time.Millisecond
	run := start(t, Options{Open: "http://127.0.0.1:0/k8s-audit", Limits: limits}, ruleset(t, false, verbRules))
	stuck, free := make(chan struct{}), make(chan struct{})
	go run.Engine.Do(t.Context(), func() { close(stuck); <-free })
	<-stuck
	body := event("get") + strings.Repeat(" ", 60<<10)
	var senders sync.WaitGroup
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 8 {
		senders.Go(func() {
			for range 25 {
				resp, err := http.Post("http://"+run.Address+"/k8s-audit", "application/json", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") != "1" {
					t.Errorf("%d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
				}
			}
		})
	}
	senders.Wait()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	if c := run.Counters(); c.Refused != 200 || c.Events != 0 {
		t.Errorf("%+v", c)
	}
	close(free)
	if status, text := send(t, run, body); status != http.StatusOK || len(run.seen()) != 1 {
		t.Errorf("afterwards: %d %s, %d alerts", status, text, len(run.seen()))
	}
}

// TestFiles shows a row of docs/compatibility.md.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	for i, content := range []string{
		event("one") + "\n\n" + `{"broken` + "\n" + event("two"),
		"{\n \"kind\": \"EventList\",\n \"items\": [\n" + event("three") + ",\n{},\n" + event("four") + "\n]\n}\n",
		"[\n" + event("five") + ",\n" + event("six"), // broken off
		event("seven") + "\n" + event(strings.Repeat("x", 70<<10)) + "\n" + event("eight") + "\n",
	} {
		path := filepath.Join(dir, string(rune('z'-i)))
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Unix(int64(i+1), 0), time.Unix(int64(i+1), 0)); err != nil {
			t.Fatal(err)
		}
	}
	run := start(t, Options{Open: " " + dir + " ", Limits: testLimits}, ruleset(t, false, verbRules))
	if err := run.end(t); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range run.seen() {
		got = append(got, strings.TrimPrefix(a, "all: verb "))
	}
	if want := "one two three four five six seven eight"; strings.Join(got, " ") != want {
		t.Errorf("%q, want %s", got, want)
	}
	if c := run.Counters(); c.Malformed != 3 || c.Oversized != 1 {
		t.Errorf("%+v", c)
	}
}

func TestFollow(t *testing.T) {
	path := write(t, "audit.log", event("before")+"\n")
	run := start(t, Options{Open: "file://" + path, Limits: testLimits}, ruleset(t, false, verbRules))
	appendTo := func(text string) {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	appendTo(event("appended") + "\n")
	run.await(t, 1)
	half := event("in two parts")
	appendTo(half[:30])
	appendTo(half[30:] + "\n" + event("unfinished"))
	run.await(t, 2)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	appendTo(event("in a new file") + "\n")
	run.await(t, 4)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	appendTo(event("over") + "\n")
	var got []string
	for _, a := range run.await(t, 5) {
		got = append(got, strings.TrimPrefix(a, "all: verb "))
	}
	if want := "appended|in two parts|unfinished|in a new file|over"; strings.Join(got, "|") != want {
		t.Errorf("%q, want %s", got, want)
	}
	run.stop()
	if err := run.end(t); err != nil {
		t.Error(err)
	}
}

// A pipe is read as its writer goes on, and a source that waits for a writer
// can be ended.
func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	run := start(t, Options{Open: path, Limits: testLimits}, ruleset(t, false, verbRules))
	w, err := os.OpenFile(path, os.O_RDWR, 0) // does not wait for a reader: fifo(7)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := fmt.Fprintln(w, event("one")); err != nil {
		t.Fatal(err)
	}
	run.await(t, 1)
	run.stop()
	if err := errors.Join(run.end(t), w.Close()); err != nil {
		t.Error(err)
	}
	run = start(t, Options{Open: path, Limits: testLimits}, ruleset(t, false, verbRules))
	needs.Eventually(t, "a wait for a writer", func() bool { return isOpen(path) })
	run.stop()
	if err := run.end(t); err != nil {
		t.Error(err)
	}
}

// isOpen says whether this process has a file open.
func isOpen(path string) bool {
	links, _ := filepath.Glob("/proc/self/fd/*")
	return slices.ContainsFunc(links, func(link string) bool {
		target, err := os.Readlink(link)
		return err == nil && target == path
	})
}

// A log in whose place a pipe or a device appears is not waited for.
func TestFollowNoFile(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"pipe":   func(path string) error { return unix.Mkfifo(path, 0o600) },
		"device": func(path string) error { return os.Symlink("/dev/zero", path) },
	} {
		path := write(t, "audit.log", "")
		run := start(t, Options{Open: "file://" + path, Limits: testLimits}, ruleset(t, false, verbRules))
		if err := errors.Join(put(path+"~"), os.Rename(path+"~", path)); err != nil {
			t.Fatal(err)
		}
		if err := run.end(t); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("%s: %v", name, err)
		}
		needs.Eventually(t, "the directory is watched no more", func() bool { return !isOpen("anon_inode:inotify") })
	}
}

func TestOpenErrors(t *testing.T) {
	key := write(t, "key.pem", "no key")
	for _, tt := range []struct {
		o    Options
		want string
	}{
		{Options{}, "expected a URL or a path"},
		{Options{Open: "ftp://x/y"}, `scheme "ftp" is not supported`},
		{Options{Open: "http://:9765"}, "expected http://HOST:PORT/PATH"},
		{Options{Open: "http://localhost/k8s-audit"}, "expected http://HOST:PORT/PATH"},
		{Options{Open: "https://127.0.0.1:0/k8s-audit", Certificate: key}, "certificate and key"},
		{Options{Open: "https://127.0.0.1:0/k8s-audit", Certificate: "/nowhere"}, "/nowhere: no such file"},
		{Options{Open: "/nowhere"}, "no such file"},
		{Options{Open: "file://relative"}, "expected file:///ABSOLUTE/PATH"},
		{Options{Open: "file:///nowhere/log"}, "watch /nowhere"},
	} {
		tt.o.Limits, tt.o.Log = testLimits, slog.New(slog.DiscardHandler)
		_, err := Open(tt.o)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "audit events from") {
			t.Errorf("%q: %v, want %q", tt.o.Open, err, tt.want)
		}
	}
}

func TestLeftOutIsLogged(t *testing.T) {
	var log bytes.Buffer
	o := Options{Open: write(t, "log", strings.Repeat("{}\n", 100)), Limits: testLimits, Log: slog.New(slog.NewTextHandler(&log, nil))}
	if err := start(t, o, ruleset(t, false, verbRules)).end(t); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "audit events were skipped"); n != 1 || !strings.Contains(log.String(), "expected an Event") {
		t.Errorf("%d lines: %s", n, log.String())
	}
}
