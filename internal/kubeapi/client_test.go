package kubeapi

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func TestClient(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch r.URL.Path {
		case "/api/v1/namespaces/a/pods":
			fmt.Fprintf(w, `{"did": "%s %s %s"}`, r.Method, r.Header.Get("Content-Type"), strings.ReplaceAll(string(body), `"`, `'`))
		case "/plain":
			http.Error(w, "no route", http.StatusBadGateway)
		case "/slow":
			<-r.Context().Done()
		default:
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"message": "pods \"x\" not found"}`)
		}
	}))
	defer server.Close()
	c := &Client{HTTP: server.Client(), Server: server.URL, Timeout: time.Minute}
	ctx, path := context.Background(), In("api/v1", "a", "pods")
	var answer struct{ Did string }
	err := c.Patch(ctx, path, map[string]int{"a": 1}, &answer)
	if want := "PATCH application/strategic-merge-patch+json {'a':1}"; err != nil || answer.Did != want {
		t.Errorf("%q, %v, want %q", answer.Did, err, want)
	}
	if err := c.Create(ctx, path, map[string]int{"a": 1}, nil); err != nil {
		t.Error(err)
	}
	err = c.Get(ctx, In("api/v1", "a", "pods", "x"), nil)
	if !Is(err, 404) || Is(err, 409) || !strings.Contains(err.Error(), `GET /api/v1/namespaces/a/pods/x: 404 Not Found: pods "x" not found`) {
		t.Errorf("error %v", err)
	}
	if err := c.Get(ctx, "/plain", nil); !Is(err, 502) || !strings.HasSuffix(err.Error(), "no route") {
		t.Errorf("error %v", err)
	}
	c.Timeout = time.Millisecond
	if err := c.Get(ctx, "/slow", nil); err == nil || Is(err, 404) {
		t.Errorf("a server that does not answer: %v", err)
	}
}

// A patient client asks a server again that it has met, where that can do no harm.
func TestPatience(t *testing.T) {
	for name, test := range map[string]struct {
		method  string
		patient bool
		codes   []int // one after the other
		asked   int
		want    int // code of the error; 0 for none
	}{
		"starting":              {"GET", true, []int{503, 502, 200}, 3, 0},
		"starting, not met":     {"GET", true, []int{503}, 1, 503},
		"impatient":             {"GET", false, []int{503}, 1, 503},
		"refused":               {"GET", true, []int{403}, 1, 403},
		"a deletion":            {"DELETE", true, []int{500, 200}, 2, 0},
		"an object that is new": {"POST", true, []int{500}, 1, 500},
		"too much to do":        {"POST", true, []int{429, 201}, 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/first" {
					w.WriteHeader(test.codes[asked.Add(1)-1])
				}
			}))
			defer server.Close()
			c := &Client{HTTP: server.Client(), Server: server.URL, Timeout: time.Minute, Patient: test.patient}
			if name != "starting, not met" {
				if err := c.Get(context.Background(), "/first", nil); err != nil {
					t.Fatal(err)
				}
			}
			err := c.Do(context.Background(), test.method, "/", "", nil, nil)
			if (err == nil) != (test.want == 0) || err != nil && !Is(err, test.want) || int(asked.Load()) != test.asked {
				t.Errorf("asked %d times, %v", asked.Load(), err)
			}
		})
	}
}

// A server that is gone for a while is found again, and nothing is asked twice.
func TestServerRestarts(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "socket")
	var asked atomic.Int32
	serve := func() *http.Server {
		listener, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) })}
		go func() { _ = server.Serve(listener) }() // until it is closed
		return server
	}
	first := serve()
	way := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}
	c := &Client{HTTP: &http.Client{Transport: way}, Server: "http://server", Timeout: time.Minute, Patient: true}
	if err := c.Get(context.Background(), "/", nil); err != nil {
		t.Fatal(err)
	}
	first.Close()
	done := make(chan error)
	go func() { done <- c.Create(context.Background(), "/", nil, nil) }()
	second := serve()
	if err := <-done; err != nil || asked.Load() != 2 {
		t.Errorf("asked %d times, %v", asked.Load(), err)
	}
	second.Close()
	c.Timeout = 50 * time.Millisecond
	if err := c.Get(context.Background(), "/", nil); err == nil {
		t.Error("a server that stays away has answered")
	}
}

func TestIn(t *testing.T) {
	for want, got := range map[string]string{
		"/api/v1/nodes": In("api/v1", "", "nodes"),
		"/apis/apps/v1/namespaces/a/daemonsets/b":       In("apis/apps/v1", "a", "daemonsets", "b"),
		"/api/v1/namespaces/..%2F..%2Fb/pods/c%3Fd/log": In("api/v1", "../../b", "pods", "c?d", "log"),
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestConnect(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	config := `{"apiVersion": "v1", "kind": "Config", "current-context": "x",
"clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1/"}}], "contexts": [{"name": "x", "context": {"cluster": "c", "namespace": "of-context"}}]}`
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{"of-context": {"--kubeconfig", file}, "given": {"--kubeconfig", file, "-n", "given"}} {
		var f Flags
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		f.Register(flags)
		if Given(flags) {
			t.Error("a cluster is given without a flag")
		}
		if err := flags.Parse(args); err != nil {
			t.Fatal(err)
		}
		c, err := f.Connect("test")
		if err != nil || c.Server != "http://127.0.0.1:1" || c.Namespace != want || !Given(flags) {
			t.Errorf("%q: %+v, %v", args, c, err)
		}
	}
	var f Flags
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.Register(flags)
	_ = flags.Parse([]string{"--kubeconfig", "/nowhere"})
	if _, err := f.Connect("test"); err == nil || !strings.Contains(err.Error(), "find the Kubernetes cluster") {
		t.Errorf("without a configuration: %v", err)
	}
}

// Without any configuration, the error says how to name a cluster: client-go's
// speaks of a variable that kubectl no longer documents.
func TestConnectNowhere(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	var f Flags
	f.Register(pflag.NewFlagSet("", pflag.ContinueOnError))
	if _, err := f.Connect("test"); err == nil || !strings.Contains(err.Error(), "give --kubeconfig FILE") {
		t.Errorf("error %v", err)
	}
}
