package human

import (
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text makes a foreign name safe to show, as Falco does: characters that could
// control a terminal (control characters, escapes, marks of text direction)
// become dots.
func Text(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsPrint(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return '.'
	}, s)
}

// Texts makes every text in the value that into points to safe to show, the
// keys of maps included: for files of foreign origin.
func Texts(into any) { texts(reflect.ValueOf(into)) }

func texts(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			texts(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				texts(v.Field(i))
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			texts(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			if key.Kind() != reflect.String {
				continue
			}
			value := reflect.New(v.Type().Elem()).Elem() // values in a map are not settable
			value.Set(v.MapIndex(key))
			texts(value)
			v.SetMapIndex(key, reflect.Value{})
			v.SetMapIndex(reflect.ValueOf(Text(key.String())).Convert(key.Type()), value)
		}
	case reflect.String:
		v.SetString(Text(v.String()))
	}
}

// Command writes a command line that a shell reads back as it was.
func Command(args []string) string {
	quoted := make([]string, len(args))
	for i, arg := range args {
		quoted[i] = arg
		if arg == "" || strings.ContainsAny(arg, " \t\n\"'\\$&|;<>()*?[]{}~#`!") {
			quoted[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// Wrap breaks a text at blanks into lines of at most width characters, where
// words allow. It returns at least one line.
func Wrap(text string, width int) []string { return WrapWords(strings.Fields(text), width) }

// WrapWords is Wrap of words that may have blanks in them.
func WrapWords(words []string, width int) []string {
	var lines []string
	line, n := "", 0
	for _, word := range words {
		more := utf8.RuneCountInString(word)
		if line != "" && n+1+more > width {
			lines, line = append(lines, line), ""
		}
		if line == "" {
			line, n = word, more
			continue
		}
		line, n = line+" "+word, n+1+more
	}
	return append(lines, line)
}
