package intake

// None is a stream without alerts, for a load that nobody is asked about.
type None struct{ *mailbox }

var _ Source = None{}

// NewNone is open until it is closed.
func NewNone() None { return None{newMailbox()} }

// Close implements Source.
func (n None) Close() error {
	n.end(nil)
	return nil
}
