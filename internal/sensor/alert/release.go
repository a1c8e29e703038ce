//go:build !invariants

package alert

// overwrite does nothing: with the build tag invariants, it makes an alert that
// nobody holds any more unreadable.
func (a *Alert) overwrite() {}
