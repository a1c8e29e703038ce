package field

// scratch holds values that a field had to build, so that they are built once
// per event and cost no allocation: they stay valid until Reset.
type scratch struct {
	buf []byte
}

// Reset makes c ready for the next event.
func (c *Context) Reset() { c.buf = c.buf[:0] }
