//go:build invariants

package alert

// overwrite makes a released alert unreadable.
func (a *Alert) overwrite() {
	const nonsense = "\xdb\xdb used after its release \xdb\xdb"
	if a.recycled { // the line of another one may be its Output
		for i := range a.Line[:cap(a.Line)] {
			a.Line[:cap(a.Line)][i] = 0xdb
		}
	}
	*a = Alert{Time: -1, Rule: nonsense, Source: nonsense, Output: nonsense, Message: nonsense, Line: []byte(nonsense)}
}
