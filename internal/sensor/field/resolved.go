package field

// HasResolved says whether the event is an open whose path the kernel resolved
// to another one than it was given: it went through a link.
func (c *Context) HasResolved() bool {
	if !isOpen(c.Event.Kind()) {
		return false
	}
	f := c.fileInfo()
	if f == nil || f.Path() == "" {
		return false
	}
	resolved := c.Resolved
	c.Resolved = false
	given, ok := fdName(c)
	c.Resolved = resolved
	return ok && given != f.Path()
}
