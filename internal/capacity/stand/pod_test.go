package stand

import (
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/generator/action"
)

// A sensor in a pod may post to its node's address; one outside may not.
func TestAlertsOfPod(t *testing.T) {
	o := Options{Kind: Running, Pod: strings.Repeat("ab", 32), Alerts: "http://10.0.0.1:18080", Actions: action.All()[:1]}
	if _, err := New(t.Context(), o); err != nil {
		t.Errorf("in a pod: %v", err)
	}
	o.Pod, o.PID = "", 1
	if _, err := New(t.Context(), o); err == nil || !strings.Contains(err.Error(), "not encrypted") {
		t.Errorf("on the host: %v", err)
	}
}

// Paths are those that the sensor sees.
func TestPathsOfPod(t *testing.T) {
	o := Options{Pod: "id", PID: 42}
	if got := o.inside("/run/falco.sock"); got != "/proc/42/root/run/falco.sock" {
		t.Errorf("in a pod: %s", got)
	}
	if got := o.inside(""); got != "" {
		t.Errorf("no path became %s", got)
	}
	o.Pod = ""
	if got := o.inside("/run/falco.sock"); got != "/run/falco.sock" {
		t.Errorf("on the host: %s", got)
	}
}
