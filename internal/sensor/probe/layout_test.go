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
// sizes.
func sameLayout(t *testing.T, types *btf.Spec, name string, goValue any) {
	t.Helper()
	var c *btf.Struct
	if err := types.TypeByName(name, &c); err != nil {
		t.Fatalf("struct %s: %v", name, err)
	}
	g := reflect.TypeOf(goValue)
	if uintptr(c.Size) != g.Size() {
		t.Errorf("struct %s has %d bytes in C, %d in Go", name, c.Size, g.Size())
	}
	var inC, inGo []string
	for _, m := range c.Members {
		size, err := btf.Sizeof(m.Type)
		if err != nil {
			t.Fatal(err)
		}
		inC = append(inC, fmt.Sprintf("%s %d %d", plain(m.Name), m.Offset.Bytes(), size))
	}
	for i := range g.NumField() {
		if f := g.Field(i); f.Name != "_" {
			inGo = append(inGo, fmt.Sprintf("%s %d %d", plain(f.Name), f.Offset, f.Type.Size()))
		}
	}
	if strings.Join(inC, "\n") != strings.Join(inGo, "\n") {
		t.Errorf("struct %s (name offset size)\nC:\n%s\nGo:\n%s", name, strings.Join(inC, "\n"), strings.Join(inGo, "\n"))
	}
}

func plain(name string) string { return strings.ToLower(strings.ReplaceAll(name, "_", "")) }
