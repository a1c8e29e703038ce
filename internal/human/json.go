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
		return fmt.Errorf("%s: %sexpected %s, found %s", place(text, mismatch.Offset-1), key, jsonKind(mismatch.Type), mismatch.Value)
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
