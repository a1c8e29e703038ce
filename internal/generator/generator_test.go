package generator

import (
	"context"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
)

func TestSmoke(t *testing.T) {
	for _, rate := range []float64{1000, 20000, 0} {
		o := Options{Rate: rate, Duration: 2 * time.Second, Actions: []Choice{{Name: "syscall.ReadSensitiveFileUntrusted"}}}
		res, err := Run(context.Background(), o, action.Env{Scratch: t.TempDir(), Prefix: "x"})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("target %.0f offered %.1f completed %.1f failed %d late p50 %d p99 %d max %d cost p50 %d n %d", res.TargetRate, res.OfferedRate(), res.CompletedRate(), res.Failed, res.Lateness.ValueAtQuantile(50), res.Lateness.ValueAtQuantile(99), res.Lateness.Max(), res.Actions[0].Cost.ValueAtQuantile(50), len(res.Instances))
	}
}
