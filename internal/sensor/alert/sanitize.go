package alert

import (
	"strconv"
	"unicode/utf8"
)

// appendSafe appends s as alerts show it: what a process chooses, such as a
// file name, must not break the line or drive a terminal. Control characters
// and invalid UTF-8 become U+FFFD, as in Falco's JSON.
func appendSafe(dst []byte, s string) []byte {
	i := 0
	for i < len(s) && s[i] >= ' ' && s[i] < 0x7f {
		i++
	}
	dst = append(dst, s[:i]...)
	for _, r := range s[i:] { // invalid bytes read as U+FFFD
		if r < ' ' || (0x7f <= r && r < 0xa0) {
			r = utf8.RuneError
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}

// appendQuoted appends s, which appendSafe has made, as a JSON string.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(append(dst, s[start:i]...), '\\')
			start = i
		}
	}
	return append(append(dst, s[start:]...), '"')
}

// quoted is any text as a JSON string.
func quoted(s string) string {
	return string(appendQuoted(nil, string(appendSafe(nil, s))))
}

// appendText appends v as text outputs show it.
func (v Value) appendText(dst []byte) []byte {
	switch v.Kind {
	case String:
		return append(dst, v.Str...)
	case Int:
		return strconv.AppendInt(dst, v.Int, 10)
	case Uint:
		return strconv.AppendUint(dst, v.Uint, 10)
	case Bool:
		return strconv.AppendBool(dst, v.Uint != 0)
	case Double:
		return strconv.AppendFloat(dst, v.Dbl, 'f', -1, 64)
	}
	return append(dst, "<NA>"...)
}

// appendJSON appends v, whose string appendSafe has made.
func (v Value) appendJSON(dst []byte) []byte {
	switch v.Kind {
	case String:
		return appendQuoted(dst, v.Str)
	case Null:
		return append(dst, "null"...)
	case Double:
		if v.Dbl-v.Dbl != 0 { // infinite, or not a number: JSON has neither
			return append(dst, "null"...)
		}
	}
	return v.appendText(dst)
}
