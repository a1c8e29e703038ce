package run

import (
	"reflect"
	"strings"
	"unicode"
)

// printable replaces what does not print by dots, as the sensor does with the
// names of files and processes: control characters would reach the terminal.
func printable(s string) string {
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

// neutralise makes every text in a value printable. A map's keys are texts too.
func neutralise(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			neutralise(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				neutralise(v.Field(i))
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			neutralise(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			if key.Kind() != reflect.String {
				continue
			}
			value := v.MapIndex(key)
			v.SetMapIndex(key, reflect.Value{})
			v.SetMapIndex(reflect.ValueOf(printable(key.String())).Convert(key.Type()), value)
		}
	case reflect.String:
		v.SetString(printable(v.String()))
	}
}
