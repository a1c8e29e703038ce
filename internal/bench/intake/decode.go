package intake

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator"
)

// errNotJSON is the error for a sensor with text output.
var errNotJSON = errors.New("alert is not a JSON object: set json_output: true in the sensor's configuration")

// maxInterned bounds the memory that a sensor with odd rule names can take.
const maxInterned = 4096

// decoder picks the few values bench needs out of an alert's JSON, and skips
// the rest without looking into it: about a tenth of the cost of
// encoding/json (BenchmarkDecode), and no allocation for rules seen before.
// In skipped values it accepts a little more than JSON, never less. A decoder
// belongs to one goroutine.
type decoder struct {
	interned map[string]string
	texts    bool // are kept
}

func newDecoder(texts bool) *decoder {
	return &decoder{interned: make(map[string]string), texts: texts}
}

// decode fills everything of a but Received.
func (d *decoder) decode(text []byte, a *Alert) error {
	*a = Alert{}
	var eventTime, stamp int64
	var badTime error // of a "time" that is not needed if there is an evt.time
	c := cursor{b: text}
	c.space()
	if c.i >= len(c.b) || c.b[c.i] != '{' {
		return errNotJSON
	}
	err := c.object(func(key []byte) error {
		var err error
		switch string(key) {
		case "rule":
			a.Rule, err = d.string(&c)
		case "priority":
			a.Priority, err = d.string(&c)
		case "source":
			a.Source, err = d.string(&c)
		case "hostname":
			a.Hostname, err = d.string(&c)
		case "time":
			stamp, badTime, err = c.time()
		case "output_fields":
			eventTime, err = d.fields(&c, a)
		default:
			err = c.skip()
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("malformed alert at byte %d: %w", c.i, err)
	}
	if a.Rule == "" {
		return errors.New(`malformed alert: no "rule"`)
	}
	a.Time = stamp
	if eventTime != 0 {
		a.Time = eventTime
	}
	if a.Time == 0 && badTime != nil {
		return fmt.Errorf("malformed alert: %w", badTime)
	}
	if a.Time == 0 {
		return errors.New(`malformed alert: neither "time" nor evt.time`)
	}
	if d.texts {
		a.Text = string(text)
	}
	return nil
}

// fields reads output_fields: the identity of the thread, and the event's time.
func (d *decoder) fields(c *cursor, a *Alert) (eventTime int64, err error) {
	if c.space(); c.i >= len(c.b) || c.b[c.i] != '{' {
		return 0, c.skip() // null, or something of a sensor we do not know
	}
	var iso int64
	err = c.object(func(key []byte) (err error) {
		switch string(key) {
		case "evt.time":
			eventTime = c.integer()
		case "evt.time.iso8601": // with time_format_iso_8601; a number all the same
			iso = c.integer()
		case "thread.tid":
			a.TID = int32(c.integer())
		case "proc.pid":
			a.PID = int32(c.integer())
		case "proc.cmdline":
			a.Run, err = d.run(c)
			return err
		}
		return c.skip()
	})
	return cmp.Or(eventTime, iso), err
}

// run reads a command line and says whose it is. Those of others are not kept:
// there may be as many as alerts.
func (d *decoder) run(c *cursor) (string, error) {
	if c.space(); c.i >= len(c.b) || c.b[c.i] != '"' {
		return "", c.skip()
	}
	raw, err := c.text()
	if err != nil {
		return "", err
	}
	return d.runOf(raw), nil
}

func (d *decoder) runOf(commandLine []byte) string {
	i := bytes.Index(commandLine, runArgument)
	switch {
	case len(commandLine) == 0 || string(commandLine) == "<NA>":
		return ""
	case i < 0:
		return Stranger
	}
	id := commandLine[i+len(runArgument):]
	if end := bytes.IndexByte(id, ' '); end >= 0 {
		id = id[:end]
	}
	return d.intern(id)
}

// runArgument is the argument that names a run of the generator in a command
// line.
var runArgument = []byte(generator.RunArgument)

// intern gives the string that equals b, the same each time.
func (d *decoder) intern(b []byte) string {
	if s, ok := d.interned[string(b)]; ok {
		return s
	}
	s := string(b)
	if d.interned != nil && len(d.interned) < maxInterned {
		d.interned[s] = s
	}
	return s
}

// string reads a string value and interns it; other values count as "".
func (d *decoder) string(c *cursor) (string, error) {
	if c.space(); c.i >= len(c.b) || c.b[c.i] != '"' {
		return "", c.skip()
	}
	start := c.i
	raw, err := c.text()
	if err != nil {
		return "", err
	}
	if s, ok := d.interned[string(raw)]; ok {
		return s, nil
	}
	s := string(raw)
	if bytes.IndexByte(raw, '\\') >= 0 {
		if err := json.Unmarshal(c.b[start:c.i], &s); err != nil {
			return "", err
		}
	}
	if len(d.interned) < maxInterned {
		d.interned[string(raw)] = s
	}
	return s, nil
}

// cursor is a position in JSON text.
type cursor struct {
	b []byte
	i int
}

var errTruncated = errors.New("unexpected end")

func (c *cursor) space() {
	for c.i < len(c.b) && (c.b[c.i] == ' ' || c.b[c.i] == '\t' || c.b[c.i] == '\r' || c.b[c.i] == '\n') {
		c.i++
	}
}

// expect steps over one punctuation byte.
func (c *cursor) expect(want byte) error {
	c.space()
	if c.i >= len(c.b) {
		return errTruncated
	}
	if c.b[c.i] != want {
		return fmt.Errorf("expected %q, found %q", want, c.b[c.i])
	}
	c.i++
	return nil
}

// object calls value for each key of the object at the cursor; value must
// step over the key's value.
func (c *cursor) object(value func(key []byte) error) error {
	if err := c.expect('{'); err != nil {
		return err
	}
	for first := true; ; first = false {
		c.space()
		if c.i < len(c.b) && c.b[c.i] == '}' {
			c.i++
			return nil
		}
		if !first {
			if err := c.expect(','); err != nil {
				return err
			}
			c.space()
		}
		key, err := c.text()
		if err != nil {
			return err
		}
		if err := c.expect(':'); err != nil {
			return err
		}
		if err := value(key); err != nil {
			return err
		}
	}
}

// text steps over a string and returns the raw text between its quotes.
func (c *cursor) text() ([]byte, error) {
	if err := c.expect('"'); err != nil {
		return nil, err
	}
	start := c.i
	for {
		n := bytes.IndexByte(c.b[c.i:], '"')
		if n < 0 {
			c.i = len(c.b)
			return nil, errTruncated
		}
		end := c.i + n
		c.i = end + 1
		// The quote is escaped if an odd number of backslashes is before it.
		slashes := 0
		for end-1-slashes >= start && c.b[end-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return c.b[start:end], nil
		}
	}
}

// skip steps over any value.
func (c *cursor) skip() error {
	depth := 0
	for {
		c.space()
		if c.i >= len(c.b) {
			return errTruncated
		}
		switch b := c.b[c.i]; b {
		case '"':
			if _, err := c.text(); err != nil {
				return err
			}
		case '{', '[':
			depth++
			c.i++
		case '}', ']':
			if depth == 0 {
				return fmt.Errorf("expected a value, found %q", b)
			}
			depth--
			c.i++
		case ',', ':':
			if depth == 0 {
				return fmt.Errorf("expected a value, found %q", b)
			}
			c.i++
			continue
		default:
			c.scalar()
		}
		if depth == 0 {
			return nil
		}
	}
}

// scalar steps over a number, true, false or null.
func (c *cursor) scalar() {
	for c.i < len(c.b) {
		switch c.b[c.i] {
		case ',', '}', ']', ':', '"', ' ', '\t', '\r', '\n', '{', '[':
			return
		}
		c.i++
	}
}

// integer reads the number at the cursor, quoted or not, without moving; 0 if
// it is on no number.
func (c *cursor) integer() int64 {
	at := *c
	at.space()
	if at.i < len(at.b) && at.b[at.i] == '"' {
		at.i++
	}
	start := at.i
	for at.i < len(at.b) && (at.b[at.i] >= '0' && at.b[at.i] <= '9' || at.b[at.i] == '-') {
		at.i++
	}
	n, err := strconv.ParseInt(string(at.b[start:at.i]), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// layouts are how sensors write times: RFC 3339, and ISO 8601 as C's strftime
// gives it, with a time zone that has no colon.
var layouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700"}

// time reads a time as ns since the epoch; bad marks an invalid one.
func (c *cursor) time() (ns int64, bad, err error) {
	if c.space(); c.i >= len(c.b) || c.b[c.i] != '"' {
		return 0, nil, c.skip()
	}
	raw, err := c.text()
	if err != nil {
		return 0, nil, err
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, string(raw)); err == nil {
			return t.UnixNano(), nil, nil
		}
	}
	return 0, fmt.Errorf("time %.64q is not RFC 3339", raw), nil
}
