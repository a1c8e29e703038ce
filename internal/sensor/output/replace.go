package output

import (
	"context"
	"errors"
	"slices"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
)

// errNoOutput has Falco's wording.
//
//lint:ignore ST1005 Falco's wording
var errNoOutput = errors.New("No output configured, enable at least one of stdout_output, file_output, syslog_output, program_output, http_output, grpc_output")

// Prepare opens the channels of configuration c that differ from those of s,
// and shares the others. s does not change; the new set must be passed to
// Replace or to Discard.
func (s *Set) Prepare(c *config.Config) (*Set, error) {
	next := &Set{opt: s.opt, config: c, ledger: s.ledger}
	for i := range makers {
		m := &makers[i]
		if !m.enabled(c) {
			continue
		}
		was := s.find(m)
		if was.channel != nil && was.section == section(m, c) {
			next.entries = append(next.entries, was)
			continue
		}
		ch, err := m.open(c, s.opt, was.channel)
		if err != nil {
			s.Discard(next)
			return nil, err
		}
		next.entries = append(next.entries, entry{ch, m, section(m, c)})
	}
	if len(next.entries) == 0 {
		return nil, errNoOutput
	}
	return next, nil
}

// Replace puts next, which s has prepared, in force: alerts sent to s from now
// on go there. It cannot fail and does not wait for receivers: channels that
// next does not share deliver their queues in the background.
func (s *Set) Replace(next *Set) {
	s.ledger.setTimeout(timeoutOf(next.config))
	for _, e := range next.without(s) {
		e.start()
		s.ledger.opened(e)
	}
	s.sending.Lock() // no Send is under way to the old channels
	s.next = next
	s.sending.Unlock()
	for _, e := range s.without(next) {
		s.ledger.retire(e, timeoutOf(s.config))
	}
}

// Settle waits until the channels that were replaced have ended, output_timeout
// at most, or until ctx ends: faster replacements would pile up sets.
func (s *Set) Settle(ctx context.Context) {
	settled := make(chan struct{})
	go func() {
		s.ledger.retiring.Wait()
		close(settled)
	}()
	select {
	case <-settled:
	case <-ctx.Done():
	}
}

// Discard closes the channels that Prepare has opened for next, which must not
// be used afterwards.
func (s *Set) Discard(next *Set) {
	for _, e := range next.without(s) {
		// Nothing was sent to it, so that there is nothing to deliver.
		_ = e.close(context.Background())
	}
}

// without is the entries of s whose channel other does not have.
func (s *Set) without(other *Set) []entry {
	return slices.DeleteFunc(slices.Clone(s.entries), func(e entry) bool { return other.find(e.maker).channel == e.channel })
}

func (s *Set) find(m *maker) entry {
	for _, e := range s.entries {
		if e.maker == m {
			return e
		}
	}
	return entry{}
}

// section is all of c that concerns m's channel.
func section(m *maker, c *config.Config) any {
	own := c.Peregrine
	return [...]any{m.section(c), c.OutputTimeout, c.OutputsQueue, c.JSON, c.BufferedOutputs,
		own.QueueMaxBytes, own.HTTPConnections, own.HTTPPipeline, own.GRPCMaxStreams}
}
