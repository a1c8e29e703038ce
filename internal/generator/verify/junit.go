package verify

import (
	"io"

	"github.com/peregrine-sec/peregrine/internal/junit"
)

// WriteJUnit writes the outcomes as a JUnit report.
func WriteJUnit(w io.Writer, outcomes []Outcome) error {
	status := map[Status]junit.Status{Failed: junit.Failed, Errored: junit.Errored, Skipped: junit.Skipped}
	var cases []junit.Case
	for _, o := range outcomes {
		cases = append(cases, junit.Case{Name: o.Action.Name, Class: o.Action.Collection(), Took: o.Took, Status: status[o.Status], Message: o.Detail})
	}
	return junit.Write(w, "peregrine generate test", cases)
}
