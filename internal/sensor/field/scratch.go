package field

import (
	"unsafe"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// scratch holds values that a field had to build, so that they are built once
// per event and cost no allocation: they stay valid until Reset.
type scratch struct {
	buf []byte
	out []byte // for the text of parameters, which is made of other values

	fileState known
	file      event.FileInfo
	name      int                  // which name of the event's paths is asked for; see Use
	names     [maxNames]cachedName // fd.name under each
	pathUsed  bool                 // a path of the event was asked for
	argsHave  uint64               // bit i: args[i] has been rendered
	args      [maxSlots]string

	listed int // values that a list field has given

	// The fields below outlive the event.
	first    uint64 // Time of the first event, once there was a second one
	previous uint64 // Time of the event before this one
	clock    clock
}

// maxSlots bounds the slots of any kind of event; a test compares.
const maxSlots = 64

type known uint8

const (
	unknown known = iota
	absent
	present
)

type cachedName struct {
	state known
	s     string
}

// Reset makes c ready for the next event. Time must still be that of the
// event before.
func (c *Context) Reset() {
	if c.Time != 0 {
		if c.first == 0 {
			c.first = c.Time
		}
		c.previous = c.Time
	}
	c.buf, c.out = c.buf[:0], c.out[:0]
	c.fileState = unknown
	for i := range c.names {
		c.names[i].state = unknown
	}
	c.name, c.pathUsed = 0, false
	c.argsHave = 0
}

// keep returns the text that has been appended to c.buf, which with it is longer.
func (c *Context) keep(longer []byte) string {
	start := len(c.buf)
	c.buf = longer
	return c.built(start)
}

// built returns the text appended to c.buf since it had length start. Further
// appends to c.buf do not change the string.
func (c *Context) built(start int) string { return text(c.buf[start:]) }

// text is b as a string that borrows it.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// fileInfo returns the file behind the event's descriptor; nil if unknown.
func (c *Context) fileInfo() *event.FileInfo {
	if c.fileState == unknown {
		c.fileState = absent
		if slot := c.Event.Info().File; slot >= 0 && c.Event.FileInfo(slot, &c.file) {
			c.fileState = present
		}
	}
	if c.fileState == absent {
		return nil
	}
	return &c.file
}

// static returns c.Static, or an empty one if it was not set.
func (c *Context) static() *Static {
	if c.Static == nil {
		return &noStatic
	}
	return c.Static
}

var noStatic = Static{Source: "syscall"}
