package main

import (
	"bytes"
	"fmt"
	"sync/atomic"
)

// contained counts the alerts of programs in containers. The program there is
// cat, which opens the target nowhere else.
type contained struct {
	right, named, wrong atomic.Uint64
}

// note looks at an alert from standard output.
func (c *contained) note(line []byte) {
	_, rest, is := bytes.Cut(line, []byte("cat /"))
	if !is {
		return
	}
	if _, id, ok := bytes.Cut(rest, []byte(" container=")); ok && !bytes.HasPrefix(id, []byte("host ")) {
		c.right.Add(1)
		if bytes.Contains(id, []byte(" called=soak-")) {
			c.named.Add(1)
		}
		return
	}
	c.wrong.Add(1)
}

func (c *contained) String() string {
	return fmt.Sprintf("%d alerts from containers, %d of them with the container's name", c.right.Load(), c.named.Load())
}

func (c *contained) err() error {
	if wrong := c.wrong.Load(); wrong > 0 {
		return fmt.Errorf("%d alerts say that a container's program ran on the host, %d do not", wrong, c.right.Load())
	}
	return nil
}
