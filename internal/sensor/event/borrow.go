//go:build !invariants

package event

// Invariants says that borrowed memory is overwritten when its time is over:
// built with the tag invariants.
const Invariants = false

// Loan is an event that is lent to its handler.
type Loan struct{}

// Begin returns the event as it is lent until End.
func (*Loan) Begin(raw []byte) []byte { return raw }

// End is the end of the loan: nobody may look at the event any more.
func (*Loan) End() {}
