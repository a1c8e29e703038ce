package capture

import "errors"

// cursor takes values from the entries of a list block. Reading beyond the end
// gives zeros and sets short.
type cursor struct {
	b     []byte
	bytes order
	short bool
}

var errShort = errors.New("entry is shorter than its content")

// take returns the next n bytes, borrowed.
func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.short, c.b = true, nil
		return nil
	}
	p := c.b[:n]
	c.b = c.b[n:]
	return p
}

func (c *cursor) u8() uint8 {
	if p := c.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (c *cursor) u16() uint16 {
	if p := c.take(2); p != nil {
		return c.bytes.u16(p)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if p := c.take(4); p != nil {
		return c.bytes.u32(p)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if p := c.take(8); p != nil {
		return c.bytes.u64(p)
	}
	return 0
}

// str is a string with its length before it.
func (c *cursor) str() []byte { return c.take(int(c.u16())) }

// sub returns a cursor over the next entry, which has its length before it,
// not counting the four bytes of the length itself when inclusive is false.
func (c *cursor) sub(inclusive bool) cursor {
	n := int(c.u32())
	if inclusive {
		n -= 4
	}
	return cursor{b: c.take(n), bytes: c.bytes, short: c.short}
}

// The optional values at the end of an entry: absent ones are zero, and no
// error.

func (c *cursor) opt8() uint8 {
	if len(c.b) < 1 {
		return 0
	}
	return c.u8()
}

func (c *cursor) opt32(absent uint32) uint32 {
	if len(c.b) < 4 {
		c.b = nil
		return absent
	}
	return c.u32()
}

func (c *cursor) opt64() uint64 {
	if len(c.b) < 8 {
		c.b = nil
		return 0
	}
	return c.u64()
}
