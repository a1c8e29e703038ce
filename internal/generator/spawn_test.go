package generator

import (
	"context"
	"testing"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
)

func TestEveryActionRuns(t *testing.T) {
	for _, a := range action.All() {
		if a.Cost == action.Slow && a.Needs.Place != action.Cluster && testing.Short() {
			continue
		}
		t.Run(a.Name, func(t *testing.T) {
			start := time.Now()
			r, err := Spawn(context.Background(), Options{Actions: []Choice{{Name: a.Name}}, Passes: 3, Sandbox: SandboxOptions{StateDir: t.TempDir()}})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%v: %+v %s %v cost p50 %v", time.Since(start), r.Counts, r.Actions[0].Why, r.Actions[0].Errnos, time.Duration(r.Actions[0].Cost.ValueAtQuantile(50)))
		})
	}
}
