package record

import (
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/needs"
)

// The program loads with the current task as a typed pointer and, as on kernels
// before 5.11, without.
func TestLoadsEitherWay(t *testing.T) {
	needs.Root(t)
	for _, typed := range []bool{true, false} {
		spec, err := loadRecord()
		if err != nil {
			t.Fatal(err)
		}
		if err := spec.Variables["task_is_typed"].Set(typed); err != nil {
			t.Fatal(err)
		}
		var objects recordObjects
		err = spec.LoadAndAssign(&objects, nil)
		needs.That(t, "eBPF", err)
		if err := objects.Close(); err != nil {
			t.Error(err)
		}
	}
}
