package human

import (
	"reflect"
	"strings"
	"unicode"
)

// Text makes a name of foreign origin fit to be shown, as Falco does: what
// could steer a terminal (control characters, escapes, marks that turn the
// direction of writing) becomes a dot.
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

// Texts makes every text in the value that into points to fit to be shown, the
// keys of maps included: for files that somebody else has written.
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
			value := reflect.New(v.Type().Elem()).Elem() // what is in a map cannot be changed
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
