// Package method derives a capacity from a sensor's stats file and the log of an
// event-generator bench, as in a manual evaluation: the last round before the
// drops gives the EPS, the seconds before the first drop give the syscalls per
// second. It reads all versions of both files and gives the lines that each
// figure comes from.
package method

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// LogRound is one round of a bench log.
type LogRound struct {
	Number  int
	Line    int // of the log
	Sleep   time.Duration
	Actions []Action
	// As printed; negative if the log lacks it.
	CPU        float64 // percent of a core, rest included
	Throughput float64 // EPS
	Repeated   bool    // a round at the same sleep follows: foreign or late alerts
}

// Action is an action's line of a round.
type Action struct {
	Name             string
	Actual, Expected int
}

// Lost is the share of alerts that did not arrive, weighted by the actions'
// counts; more alerts than expected count as none lost.
func (r *LogRound) Lost() float64 {
	actual, expected := 0, 0
	for _, a := range r.Actions {
		actual += min(a.Actual, a.Expected)
		expected += a.Expected
	}
	if expected == 0 {
		return 0
	}
	return 1 - float64(actual)/float64(expected)
}

// Printed is the "lost" that event-generator prints: one minus the mean of the
// ratios, unweighted, cut to a whole percent.
func (r *LogRound) Printed() int {
	if len(r.Actions) == 0 {
		return 0
	}
	sum := 0.0
	for _, a := range r.Actions {
		if a.Expected > 0 {
			sum += float64(a.Actual) / float64(a.Expected)
		}
	}
	return int(100 * (1 - sum/float64(len(r.Actions))))
}

// escape sequences of colours, which event-generator writes into files too.
var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

// ReadLog reads a bench log: logrus text with or without colours and
// time stamps, logrus JSON, or Peregrine's. Lines that bench did not write are
// skipped. A log without a single round is an error.
func ReadLog(r io.Reader) ([]LogRound, error) {
	var rounds []LogRound
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	n, unnumbered := 0, 0
	for lines.Scan() {
		n++
		message, fields := parseLine(colours.ReplaceAllString(lines.Text(), ""))
		if rest, ok := strings.CutPrefix(message, "round #"); ok {
			number, err := strconv.Atoi(rest)
			if err != nil {
				return rounds, fmt.Errorf("log line %d: round number %q: %w", n, rest, err)
			}
			sleep, err := parseSleep(fields["sleep"])
			if err != nil {
				return rounds, fmt.Errorf("log line %d: %w", n, err)
			}
			rounds = append(rounds, LogRound{Number: number, Line: n, Sleep: sleep, CPU: -1, Throughput: -1})
			continue
		}
		switch {
		case len(rounds) > 0:
			rounds[len(rounds)-1].add(message, fields)
		case message == "statistics":
			unnumbered++
		}
	}
	if err := lines.Err(); err != nil {
		return rounds, fmt.Errorf("log line %d: %w", n+1, err)
	}
	switch {
	case len(rounds) == 0 && unnumbered > 0:
		return nil, fmt.Errorf("the log is from event-generator before 0.5.1: it has statistics of %d rounds, but does not say where a round starts; repeat the bench with 0.5.1 or newer, or with `peregrine bench`", unnumbered)
	case len(rounds) == 0:
		return nil, fmt.Errorf("no line of the form `round #N sleep=...` in %d lines: expected the log of `event-generator bench`, 0.5.1 or newer, or of `peregrine bench`", n)
	}
	return rounds, nil
}

// add takes a line that belongs to the round.
func (r *LogRound) add(message string, fields map[string]string) {
	switch {
	case message == "statistics":
		r.CPU = parsePercent(fields["cpu"])
		r.Throughput = parseEPS(fields["throughput"])
	case strings.HasPrefix(message, "unexpected events received"):
		r.Repeated = true
	case fields["expected"] != "":
		actual, errA := strconv.Atoi(fields["actual"])
		expected, errE := strconv.Atoi(fields["expected"])
		if errA == nil && errE == nil && actual >= 0 && expected >= 0 {
			r.Actions = append(r.Actions, Action{message, actual, expected})
		}
	}
}

var pair = regexp.MustCompile(`([\w-]+)=("(?:[^"\\]|\\.)*"|\S+)`)

// parseLine splits a log line into its message and its keys.
func parseLine(text string) (string, map[string]string) {
	fields := map[string]string{}
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "{") {
		var object map[string]any
		if json.Unmarshal([]byte(text), &object) != nil {
			return "", nil
		}
		for key, value := range object {
			fields[key] = fmt.Sprint(value)
			if number, ok := value.(float64); ok {
				fields[key] = strconv.FormatFloat(number, 'f', -1, 64)
			}
		}
		return strings.TrimSpace(fields["msg"]), fields
	}
	for _, match := range pair.FindAllStringSubmatch(text, -1) {
		value := match[2]
		if unquoted, err := strconv.Unquote(value); err == nil {
			value = unquoted
		}
		fields[match[1]] = value
	}
	if message, ok := fields["msg"]; ok {
		return strings.TrimSpace(message), fields
	}
	// The text between the level and the first key.
	message := text
	if at := pair.FindStringIndex(text); at != nil {
		message = text[:at[0]]
	}
	level, message, _ := strings.Cut(strings.TrimSpace(message), " ")
	return strings.TrimSpace(cmp.Or(message, level)), fields
}

// parseSleep reads a duration: as text, or as nanoseconds from JSON.
func parseSleep(s string) (time.Duration, error) {
	if ns, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Duration(ns), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("sleep %q: expected a duration such as 12.207µs", s)
	}
	return d, nil
}

// parsePercent reads "38.1%", or a share as --humanize=false prints it.
func parsePercent(s string) float64 {
	text, human := strings.CutSuffix(s, "%")
	x, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil:
		return -1
	case human:
		return x
	}
	return 100 * x
}

func parseEPS(s string) float64 {
	x, err := strconv.ParseFloat(strings.TrimSuffix(s, " EPS"), 64)
	if err != nil {
		return -1
	}
	return x
}
