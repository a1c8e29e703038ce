package plan

import (
	"slices"
	"strconv"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/filter"
)

// openCall is an open with these facts.
type openCall event.OpenFacts

func (openCall) path(name string, op filter.Op, value string) []clause {
	return pathNeed(name, op, value)
}

func (openCall) excluded(name string, op filter.Op, c *filter.Check) clause {
	return exclusion(name, op, c)
}

func (o openCall) decide(f *filter.Field, c *filter.Check) (value, known bool) {
	has := func(bit event.OpenFacts) bool { return event.OpenFacts(o)&bit != 0 }
	single := onlyText(c)
	switch f.Name {
	case "evt.is_open_read":
		return boolean(c.Op, single, has(event.FactRead))
	case "evt.is_open_write":
		return boolean(c.Op, single, has(event.FactWrite))
	case "evt.failed":
		return boolean(c.Op, single, !has(event.FactSuccess))
	case "fd.num", "evt.rawres":
		return sign(c.Op, single, has(event.FactSuccess))
	case "evt.res":
		return result(c, has(event.FactSuccess))
	case "fd.typechar":
		return typechar(c, has(event.FactSuccess), has(event.FactDirectory) && !has(event.FactCreate))
	case "evt.rawarg.mode":
		return modeAbove(c.Op, single, has(event.FactDirectory) && has(event.FactCreate))
	case "evt.arg.flags":
		if c.Op != filter.Contains {
			return false, false
		}
		switch single {
		case "O_CREAT":
			return has(event.FactCreate), true
		case "O_TRUNC":
			return has(event.FactTruncate), true
		}
	}
	return false, false
}

// onlyText is the value of a check that has one; else "".
func onlyText(c *filter.Check) string {
	if len(c.Values) != 1 {
		return ""
	}
	return c.Values[0].Text
}

func boolean(op filter.Op, text string, value bool) (bool, bool) {
	want := text == "true"
	if !want && text != "false" {
		return false, false
	}
	switch op {
	case filter.Eq, filter.EqEq:
		return value == want, true
	case filter.NotEq:
		return value != want, true
	}
	return false, false
}

// sign decides a comparison of a result that is known to be at least 0, or
// below it, with a number.
func sign(op filter.Op, text string, success bool) (value, known bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return false, false
	}
	switch {
	case success && n < 0: // x >= 0 > n
		return op == filter.Greater || op == filter.GreaterEq || op == filter.NotEq, isComparison(op)
	case success && n == 0 && (op == filter.GreaterEq || op == filter.Less):
		return op == filter.GreaterEq, true
	case !success && n >= 0: // x < 0 <= n
		return op == filter.Less || op == filter.LessEq || op == filter.NotEq, isComparison(op)
	}
	return false, false
}

// setgid is S_ISGID: the lowest mode with setuid or setgid.
const setgid = 0o2000

// modeAbove decides whether a mode is at least a number with setuid or setgid:
// without either bit it is not.
func modeAbove(op filter.Op, text string, special bool) (value, known bool) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || special {
		return false, false
	}
	return false, op == filter.GreaterEq && n >= setgid || op == filter.Greater && n >= setgid-1
}

func isComparison(op filter.Op) bool {
	return slices.Contains([]filter.Op{
		filter.Eq, filter.EqEq, filter.NotEq, filter.Less, filter.LessEq, filter.Greater, filter.GreaterEq,
	}, op)
}

func result(c *filter.Check, success bool) (value, known bool) {
	if c.Op != filter.Eq && c.Op != filter.EqEq || len(c.Values) != 1 {
		return false, false
	}
	if isSuccess := c.Values[0].Text == "SUCCESS"; isSuccess != success {
		return false, true
	} else if isSuccess {
		return true, true
	}
	return false, false
}

// typechar decides only certain cases: a directory is not a file, and a file
// opened by name that is not a directory never has typechar d.
func typechar(c *filter.Check, success, directory bool) (value, known bool) {
	if !success || c.Op != filter.Eq && c.Op != filter.EqEq || len(c.Values) != 1 {
		return false, false
	}
	switch c.Values[0].Text {
	case "d":
		return directory, true
	case "f":
		if directory {
			return false, true
		}
	}
	return false, false
}
