package alert

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAppendSafe(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{"plain é 世", "plain é 世"},
		{"a\nb\tc\x00d\x7fe", "a\ufffdb\ufffdc\ufffdd\ufffde"},
		{"\xff\xfe", "\ufffd\ufffd"},
		{"\xe4\xb8", "\ufffd\ufffd"}, // cut in the middle
		{"\u009b2J", "\ufffd2J"},     // a terminal's escape
		{"\xed\xa0\x80", "\ufffd\ufffd\ufffd"},
	} {
		if got := string(appendSafe([]byte("^"), tt.in)); got != "^"+tt.want {
			t.Errorf("%q gives %q, want %q", tt.in, got, "^"+tt.want)
		}
	}
}

// Quoted text reads back unchanged.
func FuzzQuoted(f *testing.F) {
	for _, s := range []string{"", "plain", `a"b\c`, "\xff\x00\u2028", strings.Repeat("x", 300) + `"` + strings.Repeat("y", 300) + `\`, `\\""`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		safe := string(appendSafe(nil, s))
		if !utf8.ValidString(safe) {
			t.Fatalf("%q is not valid", safe)
		}
		var got string
		if err := json.Unmarshal([]byte(quoted(s)), &got); err != nil || got != safe {
			t.Errorf("%q reads back as %q (%v)", safe, got, err)
		}
	})
}
