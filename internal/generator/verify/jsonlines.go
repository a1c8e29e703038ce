package verify

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/wait"
)

// JSONLines reads Falco's JSON alerts, one per line, from a file that grows, a
// pipe or standard input. Lines that are no alert are counted and passed over.
type JSONLines struct {
	in     io.ReadCloser
	follow bool
	lines  *bufio.Reader
	rest   []byte // a line whose end is not there yet
	Bad    uint64
}

// NewJSONLines reads in; with follow, its end is not the end: more may be
// written to it.
func NewJSONLines(in io.ReadCloser, follow bool) *JSONLines {
	return &JSONLines{in: in, follow: follow, lines: bufio.NewReader(in)}
}

var _ Source = (*JSONLines)(nil)

// pollInterval is how often a file is looked at for new lines.
const pollInterval = 20 * time.Millisecond

// lineLimit bounds one alert.
const lineLimit = 1 << 20

// Next implements Source. Reading from a pipe or terminal is not interrupted
// by ctx: Close does that.
func (j *JSONLines) Next(ctx context.Context) ([]Alert, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		part, err := j.lines.ReadSlice('\n')
		j.rest = append(j.rest, part...)
		switch {
		case err == nil:
			alert, ok := j.take()
			if ok {
				return []Alert{alert}, nil
			}
		case errors.Is(err, bufio.ErrBufferFull):
			if len(j.rest) > lineLimit {
				j.rest = j.rest[:lineLimit] // it will not parse, and be counted
			}
		case errors.Is(err, io.EOF) && j.follow:
			if err := wait.For(ctx, pollInterval); err != nil {
				return nil, err
			}
		default:
			return nil, err
		}
	}
}

func (j *JSONLines) take() (Alert, bool) {
	defer func() { j.rest = j.rest[:0] }()
	alert, err := parseAlert(j.rest)
	if err != nil {
		j.Bad++
		return Alert{}, false
	}
	return alert, true
}

// parseAlert reads one alert. The event's time is in "time" (RFC 3339 with
// nanoseconds) and, exactly, in output_fields as "evt.time" (ns), if the
// sensor was asked for it.
func parseAlert(line []byte) (Alert, error) {
	var raw struct {
		Rule   string                     `json:"rule"`
		Source string                     `json:"source"`
		Time   time.Time                  `json:"time"`
		Fields map[string]json.RawMessage `json:"output_fields"`
	}
	if err := json.Unmarshal(line, &raw); err != nil {
		return Alert{}, err
	}
	if raw.Rule == "" {
		return Alert{}, errors.New(`alert without "rule"`)
	}
	alert := Alert{Rule: raw.Rule, Source: raw.Source, Time: raw.Time, Text: string(line)}
	if ns := integer(raw.Fields["evt.time"]); ns > 0 {
		alert.Time = time.Unix(0, ns)
	}
	for name, value := range raw.Fields {
		if name == "proc.pid" || name == "proc.ppid" || strings.HasPrefix(name, "proc.apid") {
			if pid := integer(value); pid > 0 {
				alert.Processes = append(alert.Processes, int(pid))
			}
		}
	}
	slices.Sort(alert.Processes)
	if alert.Time.IsZero() {
		return Alert{}, errors.New(`alert without "time"`)
	}
	return alert, nil
}

// integer reads a number, or a string that holds one. Other values give 0.
func integer(value json.RawMessage) int64 {
	n, err := strconv.ParseInt(strings.Trim(string(value), `"`), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Close implements Source.
func (j *JSONLines) Close() error { return j.in.Close() }
