package intake

import (
	"context"
	"sync"
)

// mailbox carries alerts from the goroutines that receive them to the one that
// matches them. It grows as it must: an alert that arrived is never dropped
// here, and the sensor is never made to wait for the matching.
type mailbox struct {
	ready chan struct{} // holds one token while there is something to see

	mu     sync.Mutex
	alerts []Alert
	given  []Alert // last result of Next, reused as the next alerts
	counts Traffic
	closed bool
	err    error
}

func newMailbox() *mailbox { return &mailbox{ready: make(chan struct{}, 1)} }

// put adds alerts of one read of n bytes, and the last thing wrong with it.
func (m *mailbox) put(alerts []Alert, n int, malformed uint64, bad error) {
	m.mu.Lock()
	m.alerts = append(m.alerts, alerts...)
	m.counts.Alerts += uint64(len(alerts))
	m.counts.Bytes += uint64(n)
	m.counts.Reads++
	m.counts.Malformed += malformed
	if bad != nil {
		m.counts.LastError = bad.Error()
	}
	m.mu.Unlock()
	if len(alerts) > 0 {
		m.wake()
	}
}

// end closes the stream; a nil err means that it just ended.
func (m *mailbox) end(err error) {
	m.mu.Lock()
	if !m.closed {
		m.closed, m.err = true, err
	}
	m.mu.Unlock()
	m.wake()
}

func (m *mailbox) wake() {
	select {
	case m.ready <- struct{}{}:
	default:
	}
}

func (m *mailbox) Next(ctx context.Context) ([]Alert, error) {
	for {
		m.mu.Lock()
		if len(m.alerts) > 0 {
			m.given, m.alerts = m.alerts, m.given[:0]
			given := m.given
			m.mu.Unlock()
			return given, nil
		}
		closed, err := m.closed, m.err
		m.mu.Unlock()
		if closed {
			m.wake() // keep the token: the stream stays closed
			if err == nil {
				err = ErrClosed
			}
			return nil, err
		}
		select {
		case <-m.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (m *mailbox) Traffic() Traffic {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.counts
}
