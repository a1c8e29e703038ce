package field

import "time"

// clock prints event times. The text of the last second is kept: most events
// of a burst fall in the same one, and time zones are costly.
type clock struct {
	second int64
	valid  bool
	text   [19]byte // "2006-01-02 15:04:05", local time
}

const (
	clockLayout = "2006-01-02 15:04:05"
	dateLength  = len("2006-01-02 ")
)

// appendLocal appends the local time of ns since the epoch: date and time, or
// the time alone, with or without its ns.
func (c *clock) appendLocal(dst []byte, ns uint64, date, fraction bool) []byte {
	second := int64(ns / 1e9)
	if second != c.second || !c.valid {
		time.Unix(second, 0).AppendFormat(c.text[:0], clockLayout)
		c.second, c.valid = second, true
	}
	text := c.text[:]
	if !date {
		text = text[dateLength:]
	}
	dst = append(dst, text...)
	if fraction {
		dst = appendNanos(append(dst, '.'), ns%1e9)
	}
	return dst
}

// AppendUTC appends ns since the epoch as "2006-01-02T15:04:05.000000000",
// without a zone.
func AppendUTC(dst []byte, ns uint64) []byte {
	t := time.Unix(int64(ns/1e9), 0).UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	dst = appendPadded(dst, uint64(year), 4)
	dst = appendPadded(append(dst, '-'), uint64(month), 2)
	dst = appendPadded(append(dst, '-'), uint64(day), 2)
	dst = appendPadded(append(dst, 'T'), uint64(hour), 2)
	dst = appendPadded(append(dst, ':'), uint64(minute), 2)
	dst = appendPadded(append(dst, ':'), uint64(second), 2)
	return appendNanos(append(dst, '.'), ns%1e9)
}

func appendNanos(dst []byte, n uint64) []byte { return appendPadded(dst, n, 9) }

// appendPadded appends n with at least width digits.
func appendPadded(dst []byte, n uint64, width int) []byte {
	var digits [20]byte
	i := len(digits)
	for n > 0 || width > 0 {
		i--
		digits[i] = byte('0' + n%10)
		n /= 10
		width--
	}
	return append(dst, digits[i:]...)
}
