package jsontext

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// What each is told of an object are its keys and the places of its values.
func TestCheckObject(t *testing.T) {
	const text = `{"a": [1, 2] , "b\u0063":"x"} rest`
	var got []string
	end, err := CheckObject([]byte(text), 0, 0, func(key Value, at int) (int, error) {
		end, err := Check([]byte(text), at, 1)
		got = append(got, string(key.AppendText(nil))+"="+text[at:end])
		return end, err
	})
	if want := []string{"a=[1, 2]", `bc="x"`}; !slices.Equal(got, want) || err != nil || text[end:] != " rest" {
		t.Errorf("%q, %v, rest %q; want %q", got, err, text[end:], want)
	}
	if _, err := CheckObject([]byte(`{"a":{"b":1}`), 0, 0, nil); !errors.Is(err, ErrTruncated) {
		t.Errorf("error %v", err)
	}
}

func TestPointerEscapes(t *testing.T) {
	v := Value(`{"a/b":{"c~d":1,"":2},"~1":3}`)
	for pointer, want := range map[string]string{"/a~1b/c~0d": "1", "/a~1b/": "2", "/~01": "3", "": string(v)} {
		if got := v.Follow(ParsePointer(pointer)); string(got) != want {
			t.Errorf("%q: %s, want %s", pointer, got, want)
		}
	}
}

func TestText(t *testing.T) {
	for _, tt := range []struct{ value, text, compact string }{
		{`"a\u0062\n\"\\\/"`, "ab\n\"\\/", `"ab\n\"\\/"`},
		{`"\ud83d\ude00 \ud83d \ude00x"`, "\U0001F600 \uFFFD \uFFFDx", "\"\U0001F600 \uFFFD \uFFFDx\""},
		{`{ "p\u0061ssword" : [ 1 , true , null ] }`, `{"password":[1,true,null]}`, `{"password":[1,true,null]}`},
		{`1.50e3`, "1.50e3", "1.50e3"},
	} {
		if got := string(Value(tt.value).AppendText(nil)); got != tt.text {
			t.Errorf("%s: text %q, want %q", tt.value, got, tt.text)
		}
		if got := string(Value(tt.value).AppendCompact(nil)); got != tt.compact {
			t.Errorf("%s: compact %q, want %q", tt.value, got, tt.compact)
		}
	}
}

func TestIndented(t *testing.T) {
	for _, text := range []string{`{"a":[1,{"b":"<>"}],"c":{},"d":[]}`, `[]`, `"x"`, `{"a":null}`} {
		var want bytes.Buffer
		if err := json.Indent(&want, []byte(text), "", "  "); err != nil {
			t.Fatal(err)
		}
		if got := string(Value(text).AppendIndented(nil)); got != want.String() {
			t.Errorf("%s:\n%s\nwant\n%s", text, got, want.String())
		}
	}
}

// FuzzValue compares the reader with encoding/json.
func FuzzValue(f *testing.F) {
	for _, seed := range []string{
		`{"kind":"Event","auditID":"a"}`, `{"a":[1,-0.5e+3,"\ud83d\ude00",true,false,null,{}],"a":2}`, `[[],{}]`, `"\u00`, `-`, `01`, `1.`, `{"a" 1}`, "\"\x01\"", `nul`, `[1,]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		at := Blank(b, 0)
		end, err := Check(b, at, 0)
		valid := err == nil && Blank(b, end) == len(b)
		if want := json.Valid(b); valid != want && !(want && strings.Contains(fmt.Sprint(err), "deep")) {
			t.Fatalf("%q: valid %v (%v), encoding/json says %v", b, valid, err, want)
		}
		if !valid {
			return
		}
		v := Value(b[at:end])
		if skip(b, at) != end {
			t.Fatalf("%q: skip differs from Check", b)
		}
		var want, got any
		if json.Unmarshal(v, &want) != nil { // a number out of range
			return
		}
		compact := v.AppendCompact(nil)
		if err := json.Unmarshal(compact, &got); err != nil {
			t.Fatalf("%q: compact %q: %v", b, compact, err)
		}
		if !same(got, want) {
			t.Fatalf("%q: compact %q means something else", b, compact)
		}
		sameTree(t, v, want)
	})
}

func same(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y)
}

// sameTree compares a value, member by member, with the result of
// encoding/json.
func sameTree(t *testing.T, v Value, want any) {
	switch want := want.(type) {
	case map[string]any:
		for key, member := range want {
			if !strings.ContainsRune(key, '\uFFFD') { // encoding/json replaced invalid UTF-8
				sameTree(t, v.Get(key), member)
			}
		}
	case []any:
		for i, e := range want {
			sameTree(t, v.At(i), e)
		}
	case string:
		if got := strings.ToValidUTF8(string(v.AppendText(nil)), "\uFFFD"); !strings.ContainsRune(want, '\uFFFD') && got != want {
			t.Fatalf("%q: text %q, want %q", v, got, want)
		}
	}
}
