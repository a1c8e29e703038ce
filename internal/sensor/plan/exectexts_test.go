package plan

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// naive is what Read should return.
func (b *execTexts) naive(text string) (met uint64) {
	for part, bit := range b.bits {
		if strings.Contains(lowerCase(text), part) {
			met |= bit
		}
	}
	return met
}

// The automaton finds the same as a search for each part.
func TestExecTexts(t *testing.T) {
	found := 0
	rapid.Check(t, func(rt *rapid.T) {
		alphabet := rapid.SampledFrom([]string{"ab", "abcA/", "\xc3\x84-z\t", "abcdefghijklmnopqrstuvwxyz0123456789!\"#$%&'()*+,-./:;<=>?@[\\]^_{|}~\x01\x7f\x80\xff"}).Draw(rt, "alphabet")
		of := func(alphabet string, low, high int) *rapid.Generator[string] {
			bytes := rapid.SliceOfN(rapid.SampledFrom([]byte(alphabet)), low, high)
			return rapid.Map(bytes, func(b []byte) string { return string(b) })
		}
		b := newExecTexts()
		for _, part := range rapid.SliceOfN(of(alphabet, 1, maxTextPart), 0, 300).Draw(rt, "parts") {
			b.add([]string{lowerCase(part)})
		}
		texts := b.complete()
		if b.states > ExecTextStates || b.classes > ExecTextClasses {
			rt.Fatalf("%d states, %d classes", b.states, b.classes)
		}
		for _, text := range rapid.SliceOfN(of(alphabet+"\x00 A", 0, 40), 1, 20).Draw(rt, "texts") {
			got, want := texts.Read(text), b.naive(text)
			if got != want {
				rt.Fatalf("%q has %x, want %x: %v", text, got, want, b.bits)
			}
			if got != 0 {
				found++
			}
		}
	})
	if found == 0 {
		t.Error("nothing was ever found")
	}
}

func TestExecTextsByHand(t *testing.T) {
	for _, tt := range []struct {
		parts []string
		text  string
		want  string // the parts that are met
	}{
		{[]string{"he", "she", "his", "hers"}, "uSHErs", "he she hers"},
		{[]string{"abcd", "bc"}, "abce", "bc"},
		{[]string{"ab"}, "a\x00b a b", ""},
		{[]string{"ab"}, "aab", "ab"},
		{[]string{"aa"}, "a\x00aa", "aa"},
		{[]string{"ä"}, "Ä", ""}, // Ä has another second byte
		{nil, "x", ""},
		{[]string{"@"}, "`", ""}, // which differ as upper and lower case do
	} {
		b := newExecTexts()
		var want uint64
		for _, part := range tt.parts {
			bits, ok := b.add([]string{part})
			if !ok {
				t.Fatalf("no room for %q", part)
			}
			if strings.Contains(" "+tt.want+" ", " "+part+" ") {
				want |= bits
			}
		}
		if got := b.complete().Read(tt.text); got != want {
			t.Errorf("%q in %q: %b, want %b", tt.parts, tt.text, got, want)
		}
	}
}

// Parts for which there is no room are refused, and do not disturb others.
func TestExecTextsAreBounded(t *testing.T) {
	var numbers, bytes []string
	for i := range 1000 {
		numbers = append(numbers, fmt.Sprintf("%03dxxxx", i))
	}
	for c := range 256 {
		bytes = append(bytes, lowerCase(string([]byte{byte(c)})))
	}
	for _, parts := range [][]string{numbers, bytes} {
		b := newExecTexts()
		for _, part := range parts {
			bits, ok := b.add([]string{part})
			if !ok && (bits != 0 || b.bits[part] != 0) {
				t.Errorf("%q is refused, and has a bit", part)
			}
		}
		if n := len(b.bits); n == len(parts) || b.states+maxTextPart <= ExecTextStates && b.classes < ExecTextClasses {
			t.Errorf("room for %d of %d, %d states, %d classes", n, len(parts), b.states, b.classes)
		}
		texts := b.complete()
		for _, part := range parts {
			if got, want := texts.Read("a"+part+"b"), b.naive("a"+part+"b"); got != want {
				t.Errorf("%q: %x, want %x", part, got, want)
			}
		}
	}
}
