package record

import (
	"errors"
	"fmt"

	"github.com/peregrine-sec/peregrine/internal/jsontext"
)

// Limits bound the contents of one body.
type Limits struct {
	EventBytes int // of one event as compact JSON
	Events     int // of one body
}

// Batch is the events of one body: an Event, an EventList, or an array of
// these. Its memory is used again by the next Parse.
type Batch struct {
	Records []Record
	// Events left out: invalid ones, and those above the limits.
	Malformed, Oversized int
	// Err is why the first of them was left out.
	Err error

	limits Limits
}

// errUnknown is the error for unexpected JSON.
var errUnknown = errors.New("expected an Event or EventList of audit.k8s.io, or an array of these")

// Parse takes the events out of a body, which the records refer to. An event
// that is malformed, or beyond the limits, is counted and leaves its neighbours
// alone; the error is for a body that is not JSON, of which those events count
// that came before the fault.
func (t *Batch) Parse(b []byte, limits Limits) error {
	*t = Batch{Records: t.Records[:0], limits: limits}
	at := jsontext.Blank(b, 0)
	end, err := t.value(b, at, 0)
	if err == nil {
		if end = jsontext.Blank(b, end); end < len(b) {
			err = jsontext.SyntaxError(end, "nothing after the value")
		}
	}
	if err != nil && len(t.Records) == 0 && t.Err == nil {
		t.Err = err
	}
	return err
}

// value takes the events from the Event, EventList or array at b[at].
func (t *Batch) value(b []byte, at, depth int) (int, error) {
	switch {
	case at >= len(b):
		return at, jsontext.ErrTruncated
	case b[at] == '[':
		return jsontext.CheckArray(b, at, depth, func(at int) (int, error) { return t.value(b, at, depth+1) })
	case b[at] == '{':
		return t.object(b, at, depth)
	}
	end, err := jsontext.Check(b, at, depth)
	if err == nil {
		t.reject(errUnknown)
	}
	return end, err
}

// object takes an Event or the items of an EventList, without knowing yet
// which of both it is: its kind may come last.
func (t *Batch) object(b []byte, at, depth int) (int, error) {
	was := *t // records taken from items are dropped if it is not a list
	var kind jsontext.Value
	end, err := jsontext.CheckObject(b, at, depth, func(key jsontext.Value, at int) (int, error) {
		switch {
		case key.Is("items") && at < len(b) && b[at] == '[':
			t.restore(was)
			return jsontext.CheckArray(b, at, depth+1, func(at int) (int, error) { return t.item(b, at, depth+2) })
		case key.Is("kind"):
			end, err := jsontext.Check(b, at, depth+1)
			if err == nil {
				kind = b[at:end]
			}
			return end, err
		}
		return jsontext.Check(b, at, depth+1)
	})
	name, _ := kind.Plain()
	switch {
	case name == "EventList", err != nil && kind == nil:
		return end, err
	case err != nil:
		t.restore(was)
		return end, err
	}
	t.restore(was)
	if name == "Event" {
		_, err = t.item(b, at, depth)
		return end, err
	}
	t.reject(errUnknown)
	return end, nil
}

// restore drops the records taken since t was like was, but keeps the memory.
func (t *Batch) restore(was Batch) {
	was.Records = t.Records[:len(was.Records)]
	*t = was
}

// item takes one event, of whatever kind it says it is.
func (t *Batch) item(b []byte, at, depth int) (int, error) {
	if at < len(b) && b[at] != '{' {
		end, err := jsontext.Check(b, at, depth)
		if err == nil {
			t.reject(errUnknown)
		}
		return end, err
	}
	n := len(t.Records)
	if n < cap(t.Records) {
		t.Records = t.Records[:n+1]
	} else {
		t.Records = append(t.Records, Record{})
	}
	r := &t.Records[n]
	end, err := r.index(b, at, depth)
	if err != nil {
		t.Records = t.Records[:n]
		return end, err
	}
	if err := r.finish(); err != nil {
		t.Records = t.Records[:n]
		t.reject(err)
		return end, nil
	}
	switch limit := t.limits.EventBytes; {
	case n >= t.limits.Events:
		err = fmt.Errorf("a body has more than %d events", n)
	case end-at > limit && r.compactLen(limit) > limit:
		err = fmt.Errorf("an event has %d bytes: more than the limit of %d", end-at, limit)
	}
	if err != nil {
		t.Records = t.Records[:n]
		t.Oversized++
		t.note(err)
	}
	return end, nil
}

// compactLen is the length of the event without white space, as far as limit.
func (r *Record) compactLen(limit int) int {
	n := 0
	for i := 0; i < len(r.Body) && n <= limit; i++ {
		switch r.Body[i] {
		case ' ', '\n', '\t', '\r':
		case '"':
			end := jsontext.SkipString(r.Body, i)
			n += end - i
			i = end - 1
		default:
			n++
		}
	}
	return n
}

func (t *Batch) reject(err error) {
	t.Malformed++
	t.note(err)
}

func (t *Batch) note(err error) {
	if t.Err == nil {
		t.Err = err
	}
}

// Incomplete says whether b is the start of a value that goes on.
func Incomplete(b []byte) bool {
	at := jsontext.Blank(b, 0)
	if at == len(b) {
		return false
	}
	_, err := jsontext.Check(b, at, 0)
	return err == jsontext.ErrTruncated
}
