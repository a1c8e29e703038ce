package pagetest

import (
	"reflect"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// evil is a name that breaks out of whatever it is put into, if it can.
const evil = `x"'` + "`" + `></title></style></script><script>document.documentElement.dataset.owned=1</script>` +
	`<img src=x onerror="document.documentElement.dataset.owned=1"><a href="javascript:alert(1)">|*x*{{1}}` + "\u2028"

// Hostile puts markup into every text of value, and checks that the page has
// the same elements and runs no script but its own. Value is a pointer.
func Hostile(t *testing.T, value any, page func() string) {
	t.Helper()
	want := elements(t, page())
	spoil(reflect.ValueOf(value))
	text := page()
	got := elements(t, text)
	for _, name := range []string{"script", "style", "title", "img", "a", "iframe", "svg"} {
		if got[name] != want[name] {
			t.Errorf("%d elements %s, want %d", got[name], name, want[name])
		}
	}
	dom, console := Browse(t, File(t, text))
	if strings.Contains(dom, "data-owned") || console != "" {
		t.Errorf("a script of what is shown was run, or one of the page's failed: %s", console)
	}
}

// spoil makes every text evil, but for words that have a meaning, which have
// types of their own.
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

// elements counts the elements of a page, and fails for those that only an
// injection makes.
func elements(t *testing.T, page string) map[string]int {
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
