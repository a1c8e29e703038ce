//go:build invariants

package event

import (
	"strings"
	"testing"
	"unsafe"
)

// References to an event are invalid after its time.
func TestLoan(t *testing.T) {
	var b Builder
	b.Start(KindTask, Header{})
	slot := KindTask.Info().Slot("comm")
	b.Str(slot, "precious")
	raw := b.Finish()
	var loan Loan
	var v View
	if err := v.Reset(loan.Begin(raw)); err != nil {
		t.Fatal(err)
	}
	name, _ := v.Bytes(slot)
	kept, copied := unsafe.String(unsafe.SliceData(name), len(name)), strings.Clone(string(name))
	loan.End()
	if copied != "precious" || strings.Trim(kept, "\xdb") != "" {
		t.Errorf("%q and %q", copied, kept)
	}
}
