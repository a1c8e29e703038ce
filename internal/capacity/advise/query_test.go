package advise

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestNewQuery(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for address, want := range map[string]struct {
		path string
		url.Values
		step time.Duration
	}{
		"http://p:9090":           {"/api/v1/query_range", url.Values{"query": {eventRate}, "start": {"996400"}, "end": {"1000000"}, "step": {"15"}}, 15 * time.Second},
		"https://p/prom/?query=x": {"/prom/api/v1/query_range", url.Values{"query": {"x"}, "start": {"996400"}, "end": {"1000000"}, "step": {"15"}}, 15 * time.Second},
		"http://p/api/v1/query_range?query=a+b&start=5&end=9&step=1m": {"/api/v1/query_range", url.Values{"query": {"a b"}, "start": {"5"}, "end": {"9"}, "step": {"1m"}}, time.Minute},
		"http://p/api/v1/query_range?query=x&step=0.5":                {"/api/v1/query_range", url.Values{"query": {"x"}, "start": {"996400"}, "end": {"1000000"}, "step": {"0.5"}}, time.Second / 2},
		"http://p/api/v1/query?query=x":                               {"/api/v1/query", url.Values{"query": {"x"}}, 15 * time.Second},
	} {
		q, err := NewQuery(address, now, time.Hour, 15*time.Second)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		u, err := url.Parse(q.URL)
		if err != nil {
			t.Fatal(err)
		}
		if u.Path != want.path || q.Step != want.step {
			t.Errorf("%s: %s in steps of %v", address, u.Path, q.Step)
		}
		if diff := cmp.Diff(want.Values, u.Query()); diff != "" {
			t.Errorf("%s: %s", address, diff)
		}
	}
	for _, address := range []string{"http://", "http://user:secret@p:x", "http://p?step=0", "http://p?step=-1s", "http://p?step=soon", "http://p?step=NaN"} {
		if q, err := NewQuery(address, now, time.Hour, time.Second); err == nil || !strings.Contains(err.Error(), "expected") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %+v, %v", address, q, err)
		}
	}
	if _, err := NewQuery("http://p", now, 0, time.Second); err == nil {
		t.Error("the last 0 s are asked for")
	}
	if _, err := NewQuery("http://p", now, time.Hour, 0); err == nil {
		t.Error("steps of 0 s are asked for")
	}
	const day = 24 * time.Hour
	for address, want := range map[string]string{
		"http://p":                      "24h0m0s in steps of 5s are 17280 rates, and a Prometheus returns at most 11000: expected steps of 8s or more (--every)",
		"http://p?step=8":               "",
		"http://p?step=7s":              "12342 rates",
		"http://p?start=1&end=2":        "",
		"http://p/api/v1/query?query=x": "",
	} {
		if _, err := NewQuery(address, now, day, 5*time.Second); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s of a day: %v, want %q", address, err, want)
		}
	}
}

func TestAsk(t *testing.T) {
	answer, status := "", http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "me" || password != "secret" {
			t.Errorf("%s, %s", user, password)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(answer))
	}))
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()
	address := strings.Replace(server.URL, "http://", "http://me:secret@", 1)
	answer = `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"node":"a"},"values":[[1,"5"],[2,"7"]]}]}}`
	rates, err := Ask(t.Context(), address)
	if err != nil || cmp.Diff(map[string][]float64{"a": {5, 7}}, rates.Nodes) != "" {
		t.Errorf("%v, %v", rates, err)
	}
	for _, test := range []struct {
		answer, want string
		status       int
	}{
		{`{"status":"error","error":"no such function"}`, "no such function", http.StatusBadRequest},
		{answer, "502 Bad Gateway", http.StatusBadGateway}, // of a proxy that answers from its cache
		{`<html>`, "not JSON", http.StatusOK},
		{`{"status":"success","data":{"result":[]}}`, "no finite rates", http.StatusOK},
	} {
		answer, status = test.answer, test.status
		if _, err := Ask(t.Context(), address); err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", test.answer, err)
		}
	}
	server.Close()
	if _, err := Ask(t.Context(), address); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("without a server: %v", err)
	}
}
