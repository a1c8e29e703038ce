package human

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// ParseJSON decodes a JSON text into v, as json.Unmarshal does. Its errors give
// the line and column, and the expected and the found value.
func ParseJSON(text []byte, v any) error { return JSONError(text, json.Unmarshal(text, v)) }

// JSONError rewords an error of encoding/json about a text.
func JSONError(text []byte, err error) error {
	var syntax *json.SyntaxError
	var mismatch *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax) && syntax.Offset >= int64(len(text)):
		return errors.New("the JSON is incomplete")
	case errors.As(err, &syntax):
		return fmt.Errorf("%s: not JSON", place(text, syntax.Offset-1))
	case errors.As(err, &mismatch):
		key := mismatch.Field
		if key != "" {
			key += ": "
		}
		return fmt.Errorf("%s: %s%s", place(text, mismatch.Offset-1), key, jsonMismatch(mismatch))
	case err != nil && strings.HasPrefix(err.Error(), "json: unknown field "):
		return errors.New("unknown key " + strings.TrimPrefix(err.Error(), "json: unknown field "))
	}
	return err
}

// place is the line and column of an offset, from 1.
func place(text []byte, offset int64) string {
	before := text[:min(max(offset, 0), int64(len(text)))]
	line := bytes.Count(before, []byte("\n")) + 1
	return fmt.Sprintf("%d:%d", line, len(before)-bytes.LastIndexByte(before, '\n'))
}

// jsonMismatch says why a value does not fit. err.Value has the digits only of
// numbers that are out of range or not whole.
func jsonMismatch(err *json.UnmarshalTypeError) string {
	number, ranged := strings.CutPrefix(err.Value, "number ")
	kind := err.Type.Kind()
	whole := kind != reflect.Float32 && kind != reflect.Float64
	switch {
	case !ranged:
		return fmt.Sprintf("expected %s, found %s", jsonKind(err.Type), err.Value)
	case whole && strings.Trim(number, "-0123456789") != "" || number == "": // 1.5, or the key of a map
		return "expected a whole number, found " + number
	case kind >= reflect.Uint && kind <= reflect.Uintptr && strings.HasPrefix(number, "-"):
		return "expected a number that is not negative, found " + number
	case strings.HasPrefix(number, "-"):
		return "too small: " + number
	}
	return "too large: " + number
}

func jsonKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	}
	return "a number"
}
