package intake

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/peregrine-sec/peregrine/internal/generator"
	"github.com/peregrine-sec/peregrine/internal/jsontext"
)

// errNotJSON is the error for a sensor with text output.
var errNotJSON = errors.New("alert is not a JSON object: set json_output: true in the sensor's configuration")

// maxInterned bounds the memory that a sensor with odd rule names can take.
const maxInterned = 4096

// decoder picks the few values bench needs out of an alert's JSON, in one pass:
// about a tenth of the cost of encoding/json (BenchmarkDecode), and no
// allocation for rules seen before. What follows the alert on its line is not
// looked at. A decoder belongs to one goroutine.
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
	at := jsontext.Blank(text, 0)
	if jsontext.Value(text[at:]).Kind() != jsontext.Object {
		return errNotJSON
	}
	var eventTime, stamp int64
	var badTime error // of a "time" that is not needed if there is an evt.time
	_, err := jsontext.CheckObject(text, at, 0, func(key jsontext.Value, at int) (end int, err error) {
		name, _ := key.Plain()
		if name == "output_fields" && jsontext.Value(text[at:]).Kind() == jsontext.Object {
			eventTime, end, err = d.fields(text, at, a)
			return end, err
		}
		if end, err = jsontext.Check(text, at, 1); err != nil {
			return end, err
		}
		switch value := jsontext.Value(text[at:end]); name {
		case "rule":
			a.Rule = d.string(value)
		case "priority":
			a.Priority = d.string(value)
		case "source":
			a.Source = d.string(value)
		case "hostname":
			a.Hostname = d.string(value)
		case "time":
			stamp, badTime = parseTime(value)
		}
		return end, nil
	})
	if err != nil {
		return fmt.Errorf("malformed alert: %w", err)
	}
	if a.Rule == "" {
		return errors.New(`malformed alert: no "rule"`)
	}
	a.Time = cmp.Or(eventTime, stamp)
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
func (d *decoder) fields(text []byte, at int, a *Alert) (eventTime int64, end int, err error) {
	var iso int64
	end, err = jsontext.CheckObject(text, at, 1, func(key jsontext.Value, at int) (int, error) {
		end, err := jsontext.Check(text, at, 2)
		if err != nil {
			return end, err
		}
		name, _ := key.Plain()
		switch value := jsontext.Value(text[at:end]); name {
		case "evt.time":
			eventTime = integer(value)
		case "evt.time.iso8601": // with time_format_iso_8601; a number all the same
			iso = integer(value)
		case "thread.tid":
			a.TID = int32(integer(value))
		case "proc.pid":
			a.PID = int32(integer(value))
		case "proc.cmdline":
			if line, ok := content(value); ok {
				a.Run = d.runOf(line)
			}
		}
		return end, nil
	})
	return cmp.Or(eventTime, iso), end, err
}

// content is a string between its quotes, with its escapes.
func content(v jsontext.Value) ([]byte, bool) {
	if v.Kind() != jsontext.String {
		return nil, false
	}
	return v[1 : len(v)-1], true
}

// runOf says whose a command line is. Those of others are not kept: there may be
// as many as alerts.
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

// string interns a string; other values count as "".
func (d *decoder) string(v jsontext.Value) string {
	text, ok := content(v)
	if !ok {
		return ""
	}
	if bytes.IndexByte(text, '\\') >= 0 {
		text = v.AppendText(nil)
	}
	return d.intern(text)
}

// integer is a number, quoted or not; other values give 0.
func integer(v jsontext.Value) int64 {
	n, err := strconv.ParseInt(string(bytes.Trim(v, `"`)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// layouts are how sensors write times: RFC 3339, and ISO 8601 as C's strftime
// gives it, with a time zone that has no colon.
var layouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700"}

// parseTime reads a time as ns since the epoch; 0 for other values than strings.
func parseTime(v jsontext.Value) (ns int64, err error) {
	text, ok := content(v)
	if !ok {
		return 0, nil
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, string(text)); err == nil {
			return t.UnixNano(), nil
		}
	}
	return 0, fmt.Errorf("time %.64q is not RFC 3339", text)
}
