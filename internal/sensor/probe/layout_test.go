package probe

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// sameLayout compares a C structure of the object, by its BTF, with the Go
// structure that reads it: names (without case and underscores), offsets and
// sizes. BTF has the structure once for each file that uses it.
func sameLayout(t *testing.T, types *btf.Spec, name string, goValue any) {
	t.Helper()
	all, err := types.AnyTypesByName(name)
	if err != nil {
		t.Fatalf("struct %s: %v", name, err)
	}
	want, found := layoutOfGo(reflect.TypeOf(goValue)), false
	for _, c := range all {
		c, ok := c.(*btf.Struct)
		if !ok {
			continue // a variable of this name
		}
		found = true
		if got := layoutOfC(t, c); got != want {
			t.Errorf("struct %s (name offset size)\nC:\n%s\nGo:\n%s", name, got, want)
		}
	}
	if !found {
		t.Errorf("no struct %s in C", name)
	}
}

func layoutOfC(t *testing.T, c *btf.Struct) string {
	t.Helper()
	var b strings.Builder
	for _, m := range c.Members {
		size, err := btf.Sizeof(m.Type)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, plain(m.Name), m.Offset.Bytes(), size)
	}
	fmt.Fprintln(&b, "all", c.Size)
	return b.String()
}

func layoutOfGo(g reflect.Type) string {
	var b strings.Builder
	for i := range g.NumField() {
		if f := g.Field(i); f.Name != "_" {
			fmt.Fprintln(&b, plain(f.Name), f.Offset, f.Type.Size())
		}
	}
	fmt.Fprintln(&b, "all", g.Size())
	return b.String()
}

func plain(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }
