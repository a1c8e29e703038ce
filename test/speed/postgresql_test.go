package main

import (
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// Versions are numbers: as text, 9.6 would be newer than 15.
func TestVersion(t *testing.T) {
	order := []string{"/usr/lib/postgresql/x/bin", "/usr/lib/postgresql/9.5/bin", "/usr/lib/postgresql/9.6/bin", "/usr/lib/postgresql/15/bin", "/usr/lib/postgresql/100/bin"}
	for i := range order[1:] {
		if older, newer := version(order[i]), version(order[i+1]); older >= newer {
			t.Errorf("%s is %g, %s is %g", order[i], older, order[i+1], newer)
		}
	}
}
