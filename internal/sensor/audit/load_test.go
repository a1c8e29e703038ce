package audit

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	embedded "github.com/peregrine-sec/peregrine/rules"
)

// mix is a body as the API server sends them: of 400 events, one in four
// creates a pod, with all of it in the event; the others read or change
// something, and tell little.
func mix(tb testing.TB) []byte {
	tb.Helper()
	created, err := os.ReadFile("record/testdata/pod.json")
	if err != nil {
		tb.Fatal(err)
	}
	items := make([]string, 400)
	for i := range items {
		switch i % 4 {
		case 0:
			items[i] = strings.TrimSpace(string(created))
		case 1:
			items[i] = request("get", object("secrets"), system, denied, `"sourceIPs":["10.0.0.1"],"userAgent":"kubelet/v1.34.4"`)
		case 2:
			items[i] = request("patch", status, system, `"requestURI":"/api/v1/namespaces/shop/pods/p/status"`)
		case 3:
			items[i] = request("watch", pod, started, `"requestURI":"/api/v1/pods?watch=true&resourceVersion=1"`)
		}
	}
	return []byte(`{"kind":"EventList","apiVersion":"audit.k8s.io/v1","items":[` + strings.Join(items, ",") + `]}`)
}

var fullLimits = Limits{EventBytes: 256 << 10, BodyBytes: 12 << 20, Patience: 30 * time.Second}

// Posts of several senders at once are not lost, and memory does not grow.
func TestWebhookLosesNothing(t *testing.T) {
	body := mix(t)
	run := start(t, Options{Open: "http://127.0.0.1:0/k8s-audit", Limits: fullLimits}, ruleset(t, false, string(embedded.Read("k8s_audit.yaml"))))
	const senders, bodies = 4, 25
	var group sync.WaitGroup
	var peak uint64
	for range senders {
		group.Go(func() {
			for range bodies {
				resp, err := http.Post("http://"+run.Address+"/k8s-audit", "application/json", bytes.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					t.Error(resp.Status)
				}
			}
		})
	}
	group.Wait()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	peak = m.HeapSys
	if c := run.Counters(); c.Bodies != senders*bodies || c.Events != senders*bodies*400 || c.Malformed+c.Oversized+c.Refused > 0 {
		t.Errorf("%+v", c)
	}
	if got, want := len(run.seen()), senders*bodies*100; got != want { // the secrets
		t.Errorf("%d alerts, want %d", got, want)
	}
	if peak > 256<<20 {
		t.Errorf("the heap took %d bytes", peak)
	}
}

// BenchmarkWebhook is the way of events from a sender's connection to the last
// rule; the sender's own work is in it.
func BenchmarkWebhook(b *testing.B) {
	body := mix(b)
	// Alerts are kept by the test, not the sensor: leave their rule out.
	text := strings.ReplaceAll(string(embedded.Read("k8s_audit.yaml")), "ka.verb=get and not kube_success", "ka.verb=none")
	run := start(b, Options{Open: "http://127.0.0.1:0/k8s-audit", Limits: fullLimits}, ruleset(b, false, text))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		resp, err := http.Post("http://"+run.Address+"/k8s-audit", "application/json", bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		resp.Body.Close()
	}
	b.ReportMetric(float64(b.N*400)/b.Elapsed().Seconds(), "events/s")
	if n := len(run.seen()); n > 0 {
		b.Fatal(fmt.Sprint(n, " alerts"))
	}
}
