package capture

import "fmt"

const (
	// maxPending bounds the events of lists that wait at once for the time of
	// an event: the lists of a machine with 30,000 processes take half of it.
	maxPending = 128 << 20
	chunkSize  = 1 << 20
)

// pending are events that lists have made. They are kept in chunks, so that
// they need not be moved as they become more.
type pending struct {
	chunks [][]byte
	read   int // bytes of the first chunk that have been taken
	bytes  int // in all chunks
}

// add keeps a copy of an event.
func (p *pending) add(ev []byte) error {
	if p.bytes += len(ev); p.bytes > maxPending {
		return fmt.Errorf("process and user lists of more than %d MiB: the file is damaged", maxPending>>20)
	}
	last := len(p.chunks) - 1
	if last < 0 || len(p.chunks[last])+len(ev) > cap(p.chunks[last]) {
		p.chunks = append(p.chunks, make([]byte, 0, max(chunkSize, len(ev))))
		last++
	}
	p.chunks[last] = append(p.chunks[last], ev...)
	return nil
}

// next returns the next event, borrowed until the following call; nil after
// the last.
func (p *pending) next() []byte {
	if len(p.chunks) > 0 && p.read == len(p.chunks[0]) {
		p.chunks[0] = nil
		p.chunks, p.read = p.chunks[1:], 0
	}
	if len(p.chunks) == 0 {
		*p = pending{}
		return nil
	}
	ev := p.chunks[0][p.read:]
	n := int(headerOf(ev).Len)
	p.read += n
	return ev[:n:n]
}
