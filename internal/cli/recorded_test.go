package cli

import (
	"strings"
	"testing"
)

// Reports are shared, so they do not contain secrets of the command line.
func TestRecorded(t *testing.T) {
	for args, want := range map[string]string{
		"capacity run --cpu 1":                                    "peregrine capacity run --cpu 1",
		"capacity kubernetes --observed http://me:s3cret@prom/":   "peregrine capacity kubernetes --observed http://me:xxxxx@prom/",
		"capacity kubernetes --observed=https://:s3cret@prom:90":  "peregrine capacity kubernetes --observed=https://:xxxxx@prom:90",
		"capacity run -- -o http_output.url=http://a:s3cret@b/c":  "peregrine capacity run -- -o http_output.url=http://a:xxxxx@b/c",
		"capacity run --stats http://10.0.0.1:8765/metrics?a=b@c": "peregrine capacity run --stats http://10.0.0.1:8765/metrics?a=b@c",
		"capacity kubernetes --observed http://me@prom:9090/":     "peregrine capacity kubernetes --observed http://me@prom:9090/",
		"capacity kubernetes --token s3cret --node a":             "peregrine capacity kubernetes --token xxxxx --node a",
		"capacity kubernetes --token=s3cret --password=s3cret":    "peregrine capacity kubernetes --token=xxxxx --password=xxxxx",
	} {
		if got := strings.Join(recorded(strings.Fields(args)), " "); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}
