package field_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

var update = flag.Bool("update", false, "rewrite golden files and docs/fields.md")

const docsFile = "../../../docs/fields.md"

const docsIntro = `<!-- Generated from the catalogue by: go test ./internal/sensor/field -run Docs -update -->
# Fields

Conditions and outputs of rules use these fields. ` + "`peregrine sensor --list`" + ` prints the same list.

*Known* is the earliest time at which the value of a field is known:

- *load*: it depends only on the type of the event;
- *exec*: it belongs to the process, and does not change before the next exec;
- *kernel*: the probe reads enough of it to filter calls that no rule can match. User space reads the value from
  the event;
- *event*: it is read from the event, or looked up for it.

Each part of a condition is evaluated as early as its fields and operators allow. ` + "`peregrine rules explain RULE`" + `
shows this for each part.

Notes:

- ARG\_REQUIRED, ARG\_ALLOWED: the field must or may have an argument, as in ` + "`proc.aname[2]`" + `.
- MANY\_VALUES: the field has several values; a check is true if it is true for any of them.
- IS\_LIST: the value is a list, for the operators in and intersects.
- FILTER\_ONLY: the field is allowed in conditions, but not in outputs.
- NO\_RHS: the field is not allowed on the right of an operator.
- NO\_TRANSFORMER: the field is not allowed in a transformer.
- DEPRECATED: the field exists so that old rules load.

`

// golden compares got with a file, or writes it.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run the test with -update", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got), run with -update if that is right:\n%s", path, diff)
	}
}

func TestDocs(t *testing.T) {
	var b bytes.Buffer
	b.WriteString(docsIntro)
	if err := field.WriteMarkdown(&b, field.All()); err != nil {
		t.Fatal(err)
	}
	b.WriteString("# Events\n\nThese are the values of `evt.type`, and the parameters that `evt.arg` reads. `peregrine sensor --list-events` prints the same list.\n\n")
	if err := field.WriteEventsMarkdown(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, docsFile, b.Bytes())
}

func TestList(t *testing.T) {
	var some []*field.Field
	for _, f := range field.All() {
		switch f.Name {
		case "evt.num", "proc.aname", "proc.exe_ino.ctime_duration_pidns_start", "fd.types", "fd.ip", "evt.dir":
			some = append(some, f)
		}
	}
	var b bytes.Buffer
	for _, write := range []func() error{
		func() error { return field.WriteText(&b, some, false) },
		func() error { return field.WriteText(&b, some, true) },
		func() error { return field.WriteNames(&b, some) },
		func() error { return field.WriteMarkdown(&b, some) },
		func() error { return field.WriteJSON(&b, some) },
	} {
		if err := write(); err != nil {
			t.Fatal(err)
		}
		b.WriteString("=====\n")
	}
	golden(t, "testdata/list.golden", b.Bytes())
}

func TestListJSON(t *testing.T) {
	var b bytes.Buffer
	if err := field.WriteJSON(&b, field.All()); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Fieldclasses []struct {
			Name   string
			Fields []struct{ Name string }
		}
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, c := range got.Fieldclasses {
		n += len(c.Fields)
	}
	if n != len(field.All()) {
		t.Errorf("%d fields listed of %d", n, len(field.All()))
	}
}

func TestListEvents(t *testing.T) {
	var b bytes.Buffer
	if err := field.WriteEvents(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"< open(FD fd, FSPATH name, FLAGS flags, UINT32 mode, UINT32 dev, UINT64 ino)\n",
		"\n< swapon()\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in the list", want)
		}
	}
	if strings.Contains(b.String(), "procfork") || strings.Contains(b.String(), "procmove") || strings.Contains(b.String(), "fchmodat2") {
		t.Error("events that no rule can see are listed")
	}
}
