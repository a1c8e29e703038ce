package advise

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRead(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want Rates
		err  string
	}{
		"stats": {
			text: `{"sample": 1, "cur": {"events": 900, "drops": 0, "preemptions": 0}, "delta": {"events": 900, "drops": 0, "preemptions": 0}, "drop_pct": 0},
{"sample": 2, "cur": {"events": 1900, "drops": 0, "preemptions": 0}, "delta": {"events": 1000, "drops": 0, "preemptions": 0}, "drop_pct": 0},
{"sample": 3, "cur": {"events": 4900, "drops": 0, "preemptions": 0}, "delta": {"events": 3000, "drops": 0, "preemptions": 0}, "drop_pct": 0},
`,
			want: Rates{Nodes: map[string][]float64{"": {500, 1500}}},
		},
		"rates": {
			text: `{"status":"success","data":{"resultType":"matrix","result":[
{"metric":{"node":"a","instance":"10.0.0.1:80","class":"big"},"values":[[1,"100"],[2,"250.5"]]},
{"metric":{"node":"b","class":"small"},"values":[[1,"7"]]}]}}`,
			want: Rates{Nodes: map[string][]float64{"a": {100, 250.5}, "b": {7}}, Classes: map[string][]float64{"big": {250.5}, "small": {7}}},
		},
		"counters": {
			text: `{"status":"success","data":{"resultType":"matrix","result":[
{"metric":{"__name__":"falcosecurity_scap_n_evts_total","instance":"a:80"},"values":[[10,"1000"],[20,"3000"],[30,"500"],[40,"1500"]]}]}}`,
			want: Rates{Nodes: map[string][]float64{"a:80": {200, 100}}},
		},
		"vector": {
			text: `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"hostname":"h"},"value":[1,"12"]}]}}`,
			want: Rates{Nodes: map[string][]float64{"h": {12}}},
		},
		"not finite": {
			text: `{"status":"success","data":{"resultType":"matrix","result":[
{"metric":{"node":"a","class":"big"},"values":[[1,"NaN"],[2,"250"],[3,"+Inf"],[4,"-Inf"]]},
{"metric":{"node":"b","class":"big"},"values":[[1,"NaN"]]},
{"metric":{"__name__":"n_total","node":"c"},"values":[[10,"1000"],[20,"NaN"],[30,"3000"]]},
{"metric":{"__name__":"n_total","node":"d"},"values":[[1,"0"],[1.5,"1.7e308"]]}]}}`,
			want: Rates{Nodes: map[string][]float64{"a": {250}, "c": {100}}, Classes: map[string][]float64{"big": {250}}},
		},
		"nothing finite": {text: `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"NaN"]}]}}`, err: "no finite rates in 1 series"},
		"failed":         {text: `{"status":"error","error":"no such metric","data":{"resultType":"matrix"}}`, err: "no such metric"},
		"nothing":        {text: `{"status":"success","data":{"resultType":"matrix","result":[]}}`, err: "no finite rates in 0 series"},
		"no pairs":       {text: `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":["1"]}]}}`, err: "expected"},
		"no time":        {text: `{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[["soon","1"]]}]}}`, err: "expected"},
		"empty":          {text: "", err: "no rates in 0 samples"},
		"garbage":        {text: "{{{\n", err: "line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "observed")
			if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := Read(path, 2*time.Second)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got %v, want an error with %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("rates (-want +got):\n%s", diff)
			}
		})
	}
	if _, err := Read("/nonexistent/file", time.Second); err == nil {
		t.Error("a file that is not there was read")
	}
}
