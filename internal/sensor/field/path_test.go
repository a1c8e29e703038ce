package field

import (
	"path"
	"strings"
	"testing"
)

func TestAppendJoined(t *testing.T) {
	for _, tt := range []struct{ base, path, want string }{
		{"/a/b", "c", "/a/b/c"},
		{"/a/b/", "./c/", "/a/b/c"},
		{"/a/b", "../../../c", "/c"},
		{"/a", "/x//y/./z/..", "/x/y"},
		{"/", "..", "/"},
		{"/", "", "/"},
		{"", "/", "/"},
		{"", "a", "/a"},
		{unknownBase, "x/../y", unknownBase + "y"},
		{unknownBase, "..", unknownBase},
		{"/a", strings.Repeat("b", MaxPath-3), "/a/" + strings.Repeat("b", MaxPath-3)},
		{"/a", strings.Repeat("b", MaxPath-2), tooLong},
		{strings.Repeat("/a", 600), "/b", "/b"},
	} {
		if got := string(appendJoined([]byte("^"), tt.base, tt.path)); got != "^"+tt.want {
			t.Errorf("%.20q + %.20q = %.40q, want %.40q", tt.base, tt.path, got, tt.want)
		}
	}
}

// The joined path is the cleaned one, and a path that is said to be clean is
// one that cleaning does not change.
func FuzzJoined(f *testing.F) {
	for _, s := range [][2]string{{"/a", "b"}, {"/a/b", "../c"}, {"/", "/..//x/."}, {"/x", "...//."}, {"/", "a/"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, base, given string) {
		if !strings.HasPrefix(base, "/") {
			base = "/" + base
		}
		got := string(appendJoined(nil, base, given))
		want := path.Join(base, given)
		n := len(base) + len(given) + 1
		if strings.HasPrefix(given, "/") {
			want, n = path.Clean(given), len(given)+1
		}
		if n > MaxPath {
			want = tooLong
		}
		if got != want {
			t.Errorf("%q + %q = %q, want %q", base, given, got, want)
		}
		if isClean(given) && (want != given) {
			t.Errorf("%q is said to be clean, cleaned it is %q", given, want)
		}
		if strings.HasPrefix(given, "/") && want == given && !isClean(given) {
			t.Errorf("%q is said not to be clean", given)
		}
	})
}
