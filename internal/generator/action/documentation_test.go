package action

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the list of actions in docs/generator.md")

// The list in the guide is that of the catalogue.
func TestDocumentation(t *testing.T) {
	const page = "../../../docs/generator.md"
	begin, end := []byte("-update -->\n"), []byte("<!-- end -->")
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	from, to := bytes.Index(content, begin)+len(begin), bytes.Index(content, end)
	if from < len(begin) || to < from {
		t.Fatalf("%s has no place for the list", page)
	}
	var list bytes.Buffer
	list.WriteString("\n")
	if err := WriteList(&list, All(), "markdown"); err != nil {
		t.Fatal(err)
	}
	list.WriteString("\n")
	if *update {
		whole := append(append(bytes.Clone(content[:from]), list.Bytes()...), content[to:]...)
		if err := os.WriteFile(page, whole, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(list.String(), string(content[from:to])); diff != "" {
		t.Errorf("the list of actions in %s is out of date; rewrite it with -update\n%s", page, diff)
	}
}
