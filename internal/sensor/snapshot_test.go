package sensor

import (
	"reflect"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
	"github.com/peregrine-sec/peregrine/internal/sensor/probe"
)

// Each counter of the probe is in its part of the snapshot.
func TestProbeCounters(t *testing.T) {
	c := probe.Counters{CPUs: make([]probe.CPU, 1)}
	count(reflect.ValueOf(&c).Elem())
	c.Tallies = probe.Tallies{c.Tallies[0]} // others may be of no family
	got := reflect.ValueOf(probeCounters(&c))
	elsewhere := map[string]bool{"OpenFilter": true, "Hooks": true}
	for i := range got.NumField() {
		if name := got.Type().Field(i).Name; got.Field(i).IsZero() != elsewhere[name] {
			t.Errorf("%s is %v", name, got.Field(i))
		}
	}
	// One more counter would need a place there.
	if have, want := reflect.TypeFor[metrics.Probe]().NumField()-len(elsewhere), reflect.TypeFor[probe.Counters]().NumField(); have != want {
		t.Errorf("%d counters of %d", have, want)
	}
}

// count sets all numbers to 1.
func count(v reflect.Value) {
	switch v.Kind() {
	case reflect.Uint64:
		v.SetUint(1)
	case reflect.Struct:
		for i := range v.NumField() {
			count(v.Field(i))
		}
	case reflect.Array, reflect.Slice:
		for i := range v.Len() {
			count(v.Index(i))
		}
	}
}
