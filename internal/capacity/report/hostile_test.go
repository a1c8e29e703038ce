package report

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/peregrine-sec/peregrine/internal/capacity"
)

// evil is a name that breaks out of whatever it is put into, if it can.
const evil = `x"'` + "`" + `></title></style></script><script>document.documentElement.dataset.owned=1</script>` +
	`<img src=x onerror="document.documentElement.dataset.owned=1"><a href="javascript:alert(1)">|*x*{{1}}` + "\u2028"

// spoil makes every text of a result evil, but for words that have a meaning,
// which have types of their own.
func spoil(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			spoil(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				spoil(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			spoil(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			if key.Type() == reflect.TypeFor[string]() {
				v.SetMapIndex(reflect.ValueOf(evil+key.String()), v.MapIndex(key))
				v.SetMapIndex(key, reflect.Value{})
			}
		}
	case reflect.String:
		if v.Type() == reflect.TypeFor[string]() {
			v.SetString(evil)
		}
	}
}

// tags counts the elements of a page, and finds what only a break-out makes.
func tags(t *testing.T, page string) map[string]int {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		count[n.Data]++
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || strings.HasPrefix(strings.TrimSpace(a.Val), "javascript:") {
				t.Errorf("<%s %s=%q>", n.Data, a.Key, a.Val)
			}
		}
	}
	return count
}

// Whatever the texts of a result are, they are text on its page: it has the
// elements that it has without, and runs no script but its own.
func TestHostileTexts(t *testing.T) {
	for name, make := range map[string]func(*testing.T) *capacity.Result{"one": example, "several": several} {
		t.Run(name, func(t *testing.T) {
			r := make(t)
			want := tags(t, render(t, HTML, r))
			spoil(reflect.ValueOf(r))
			page := render(t, HTML, r)
			got := tags(t, page)
			for _, element := range []string{"script", "style", "title", "img", "a", "iframe", "svg"} {
				if got[element] != want[element] {
					t.Errorf("%d elements %s, want %d", got[element], element, want[element])
				}
			}
			path := filepath.Join(t.TempDir(), "report.html")
			if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
				t.Fatal(err)
			}
			dom := chromium(t, path, "--dump-dom")
			if strings.Contains(dom, "data-owned") || !strings.Contains(dom, "data-drawn") {
				t.Error("a script of the result was run, or not those of the page")
			}
		})
	}
}
