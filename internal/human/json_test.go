package human

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParseJSON(t *testing.T) {
	var v struct {
		Name  string    `json:"name"`
		Rates []float64 `json:"rates"`
		On    bool      `json:"on"`
		Of    struct {
			N uint8 `json:"n"`
		} `json:"of"`
	}
	for text, want := range map[string]string{
		`{"name": "a", "rates": [1, 2]}`: "",
		"":                               "the JSON is incomplete",
		`{"name": `:                      "the JSON is incomplete",
		"{\n  name: 1}":                  "2:3: not JSON",
		"#!/bin/sh\n":                    "1:1: not JSON",
		"{\n \"name\": 5}":               "2:10: name: expected a text, found number",
		`{"rates": "fast"}`:              "rates: expected a list, found string",
		`{"rates": ["fast"]}`:            "rates: expected a number, found string",
		`{"on": "yes"}`:                  "on: expected true or false, found string",
		`{"of": 1}`:                      "of: expected an object, found number",
		`{"of": {"n": 300}}`:             "of.n: expected a number, found number 300",
		`[]`:                             "expected an object, found array",
	} {
		err := ParseJSON([]byte(text), &v)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	in := json.NewDecoder(strings.NewReader(`{"speed": 1}`))
	in.DisallowUnknownFields()
	if err := JSONError(nil, in.Decode(&v)); err == nil || err.Error() != `unknown key "speed"` {
		t.Error(err)
	}
}
