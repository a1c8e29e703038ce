//go:build !pausable

package probe

// startPauses does nothing: only programs that are built with the tag pausable,
// for measurements, can pause.
func (*Probe) startPauses() {}
