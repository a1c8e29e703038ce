package kubernetes

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/capacity/diagnose"
)

// prometheus answers every query with the rate of each node.
func prometheus(t *testing.T, rates map[string]float64) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.URL.Query().Get("query"); r.URL.Path != "/api/v1/query" || got != Query {
			t.Errorf("asked %s for %q", r.URL.Path, got)
		}
		var series []string
		for node, rate := range rates {
			series = append(series, fmt.Sprintf(`{"metric":{"node":%q},"value":[1,"%v"]}`, node, rate))
		}
		fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[%s]}}`, strings.Join(series, ","))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// fleet is a node of two of three kinds, each measured at two limits.
func fleet() []Node {
	node := func(kind string, half, one float64) Node {
		row := func(cpu, rate float64) capacity.Row {
			return capacity.Row{Limit: capacity.Limit{CPU: cpu, Memory: 512 << 20}, Status: capacity.Confirmed, Syscalls: rate, EPS: rate / 50,
				NDR: capacity.Bound{Lower: rate}, Trials: []capacity.Trial{{Limits: capacity.Usage{MemoryPeak: 100 << 20}}}, Failed: -1}
		}
		r := &capacity.Result{Sensors: []capacity.Sensor{{}}, Rows: []capacity.Row{row(0.5, half), row(1, one)}}
		diagnose.Complete(r)
		return Node{Name: "n", Kind: kind, Result: r, Today: capacity.Limit{CPU: 0.5}, Sensor: Target{"security", "falco", "falco"}}
	}
	return []Node{node("kind-00", 50e3, 100e3), node("kind-01", 20e3, 40e3), {Name: "c", Kind: "kind-02", Error: "it is cordoned"}}
}

func advice(t *testing.T) []Advice {
	t.Helper()
	_, client := newCluster(t, 6, 3) // node-0 and node-3 are of kind-00, and so on
	url := prometheus(t, map[string]float64{"node-0": 10e3, "node-3": 40e3, "node-1": 25e3, "node-4": 5e3, "node-2": 1, "gone": 7})
	seen, err := Observe(context.Background(), client, url)
	if err != nil {
		t.Fatal(err)
	}
	if len(seen.Unknown) != 1 || seen.Unknown[0] != "gone" {
		t.Errorf("of no node: %q", seen.Unknown)
	}
	return seen.Advise(fleet())
}

func TestAdvice(t *testing.T) {
	all := advice(t)
	if len(all) != 3 || all[2].Why != "it is cordoned" {
		t.Fatalf("advice %+v", all)
	}
	for i, want := range []struct {
		cpu     float64
		dropped string
	}{{0.55, ""}, {0.85, "node-1"}} { // 40e3*1.3 of 50e3 at 0.5; 25e3*1.3 of 40e3 at 1
		if a := all[i]; a.LimitCPU < want.cpu-0.001 || a.LimitCPU > want.cpu+0.001 || strings.Join(a.Dropped, " ") != want.dropped || a.Nodes != 2 || a.LimitMemory != 192<<20 {
			t.Errorf("%s: %+v, dropped %q", a.Kind, a.Recommendation, a.Dropped)
		}
	}
	var text bytes.Buffer
	if err := WriteAdvice(&text, all); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"kind-00    2", "node-1", "it is cordoned", "all"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
}

// A password in the address is used, and written nowhere.
func TestObservePassword(t *testing.T) {
	_, client := newCluster(t, 1, 1)
	answer := `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"node":"node-0"},"value":[1,"5"]}]}}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "me" || password != "s3cret" {
			t.Errorf("asked as %q with %q", user, password)
		}
		_, _ = io.WriteString(w, answer)
	}))
	defer server.Close()
	address := strings.Replace(server.URL, "http://", "http://me:s3cret@", 1)
	seen, err := Observe(context.Background(), client, address)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(seen.Advise(fleet()))
	if err != nil || strings.Contains(string(text)+seen.Source, "s3cret") || !strings.Contains(seen.Source, "http://me:xxxxx@") {
		t.Errorf("source %s, advice %s, %v", seen.Source, text, err)
	}
	answer = strings.Replace(answer, "node-0", "elsewhere", 1)
	if _, err := Observe(context.Background(), client, address); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error %v", err)
	}
	if _, err := Observe(context.Background(), client, "http://me:s3cret@:90x/"); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error %v", err)
	}
}

func TestObserveErrors(t *testing.T) {
	_, client := newCluster(t, 1, 1)
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusUnauthorized) }))
	defer refusing.Close()
	for url, want := range map[string]string{
		"prometheus:9090": "expected the URL",
		"file.json":       "expected the URL",
		refusing.URL:      "401",
		prometheus(t, map[string]float64{"elsewhere": 1}): "none of 1 series belongs to a node",
		prometheus(t, nil): "no finite rates",
	} {
		if _, err := Observe(context.Background(), client, url); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
}
