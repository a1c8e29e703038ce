package human

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParseJSON(t *testing.T) {
	var v struct {
		Name  string        `json:"name"`
		Rates []float64     `json:"rates"`
		On    bool          `json:"on"`
		Keys  map[int8]bool `json:"keys"`
		Of    struct {
			N uint8   `json:"n"`
			I int8    `json:"i"`
			F float64 `json:"f"`
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
		`{"of": {"n": 300}}`:             "of.n: too large: 300",
		`{"of": {"n": -3}}`:              "of.n: expected a number that is not negative, found -3",
		`{"of": {"n": "3"}}`:             "of.n: expected a number, found string",
		`{"of": {"i": -300}}`:            "of.i: too small: -300",
		`{"of": {"i": 1.5}}`:             "of.i: expected a whole number, found 1.5",
		`{"keys": {"": true}}`:           "keys: expected a whole number, found",
		`{"keys": {"300": true}}`:        "keys: too large: 300",
		`{"of": {"f": 1e999}}`:           "of.f: too large: 1e999",
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
