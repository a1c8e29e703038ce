package record

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/jsontext"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

const minimal = `{"kind":"Event","auditID":"a","stageTimestamp":"2026-01-02T03:04:05.678901Z"}`

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name, body        string
		events, bad, over int
		err               string
	}{
		{"event", minimal, 1, 0, 0, ""},
		{"list", `{"kind":"EventList","items":[` + minimal + `,` + minimal + `]}`, 2, 0, 0, ""},
		{"kind last", `{"items":[` + minimal + `],"kind":"EventList"}`, 1, 0, 0, ""},
		{"items of any kind", `{"kind":"EventList","items":[{"stageTimestamp":"2026-01-02T03:04:05Z"}]}`, 1, 0, 0, ""},
		{"array", `[` + minimal + `,[{"kind":"EventList","items":[` + minimal + `]}]]`, 2, 0, 0, ""},
		{"blanks", " \n" + minimal + "\r\n\t", 1, 0, 0, ""},
		{"empty list", `{"kind":"EventList","items":[]}`, 0, 0, 0, ""},
		{"items twice", `{"kind":"EventList","items":[` + minimal + `,` + minimal + `],"items":[` + minimal + `]}`, 1, 0, 0, ""},
		{"an event with items", `{"items":[` + minimal + `],` + minimal[1:], 1, 0, 0, ""},
		{"other kind", `{"kind":"Pod"}`, 0, 1, 0, "expected an Event"},
		{"other kind among events", `[` + minimal + `,{"kind":"Pod","items":[` + minimal + `]},` + minimal + `]`, 2, 1, 0, "expected an Event"},
		{"no object among items", `{"kind":"EventList","items":[1,` + minimal + `,"x",null,[],` + minimal + `]}`, 2, 4, 0, "expected an Event"},
		{"no time", `[{"kind":"Event"},` + minimal + `]`, 1, 1, 0, "no stageTimestamp"},
		{"time of another type", `[{"kind":"Event","stageTimestamp":5},` + minimal + `]`, 1, 1, 0, "no stageTimestamp"},
		{"invalid time", `[{"kind":"Event","stageTimestamp":"yesterday"},` + minimal + `]`, 1, 1, 0, `"yesterday": expected a time`},
		{"time before the epoch", `[{"kind":"Event","stageTimestamp":"1812-01-01T00:00:00Z"}]`, 0, 1, 0, "no time of this epoch"},
		{"too large", `[` + strings.Replace(minimal, `"a"`, `"`+strings.Repeat("a", 600)+`"`, 1) + `,` + minimal + `]`, 1, 0, 1, "more than the limit of 512"},
		{"large by blanks alone", strings.Replace(minimal, `,`, strings.Repeat(" ", 600)+`,`, 1), 1, 0, 0, ""},
		{"too many", `[` + strings.Repeat(minimal+",", 5) + minimal + `]`, 3, 0, 3, "more than 3 events"},
		{"truncated between", `{"kind":"EventList","items":[` + minimal + `,`, 1, 0, 0, "ends within"},
		{"truncated within", `{"kind":"EventList","items":[` + minimal + `,` + minimal[:40], 1, 0, 0, "ends within"},
		{"truncated with the kind last", `{"items":[` + minimal + `,` + minimal[:40], 1, 0, 0, "ends within"},
		{"truncated event", minimal[:50], 0, 0, 0, "ends within"},
		{"empty", ``, 0, 0, 0, "ends within"},
		{"two values", minimal + minimal, 1, 0, 0, "nothing after"},
		{"number", `17`, 0, 1, 0, "expected an Event"},
		{"UTF-16", "\xff\xfe{\x00", 0, 0, 0, "expected a value"},
		{"byte order mark", "\xef\xbb\xbf" + minimal, 0, 0, 0, "expected a value"},
		{"deep", strings.Repeat("[", 1<<20), 0, 0, 0, "more than 256 deep"},
		{"deep within", `[` + minimal + `,{"kind":` + strings.Repeat(`{"a":`, 1<<20) + `]`, 1, 0, 0, "more than 256 deep"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var batch Batch
			err := batch.Parse([]byte(tt.body), Limits{512, 3})
			if len(batch.Records) != tt.events || batch.Malformed != tt.bad || batch.Oversized != tt.over {
				t.Errorf("%d events, %d malformed, %d oversized; want %d, %d, %d", len(batch.Records), batch.Malformed, batch.Oversized, tt.events, tt.bad, tt.over)
			}
			if err == nil {
				err = batch.Err
			}
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

// TestParts shows a row of docs/compatibility.md.
func TestParts(t *testing.T) {
	body := `{"kind":"Event", "stageTimestamp":"2026-01-02T03:04:05.5Z", "verb":"get","user":{"username":"x","groups":["a"]},
		"objectRef":{"resource":"pods","name":"old"}, "objectRef":{"n\u0061me":"n","namespace":"ns"},
		"responseStatus":{"code":200},"responseStatus":null,"requestObject":{"a":[1,{"b":"c"}]}}`
	var batch Batch
	if err := batch.Parse([]byte(body), Limits{1000, 1}); err != nil || len(batch.Records) != 1 {
		t.Fatal(err, batch.Err)
	}
	r := &batch.Records[0]
	if r.Time != 1767323045500000000 {
		t.Error(r.Time)
	}
	for part, want := range map[Part]string{
		Verb: "get", UserName: "x", UserGroups: `["a"]`, Resource: "", Name: "n", Namespace: "ns", ResponseCode: "", ResponseStatus: "null",
	} {
		if v := r.Part(part); string(v.AppendText(nil)) != want {
			t.Errorf("part %d: %s, want %s", part, v, want)
		}
	}
	for pointer, want := range map[string]string{
		"/requestObject/a/1/b": `"c"`, "requestObject/a/0": "1", "/requestObject/a/2": "", "/requestObject/a/01": "", "/verb": `"get"`,
		"/objectRef/name": `"n"`, "/nothing": "", "/verb/x": "",
	} {
		if v := r.Follow(jsontext.ParsePointer(pointer)); string(v) != want {
			t.Errorf("%s: %s, want %s", pointer, v, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte(`{"kind":"EventList","items":[` + minimal + `,{"user":{"username":1},"objectRef":[],"stageTimestamp":"2026-01-02T03:04:05Z"}]}`))
	f.Add([]byte(`[{"items":[` + minimal + `]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var batch Batch
		_ = batch.Parse(b, Limits{1 << 10, 100})
		for i := range batch.Records {
			r := &batch.Records[i]
			if !json.Valid(r.Body) {
				t.Fatalf("%q was taken for an event", r.Body)
			}
			for p := range numParts {
				if v := r.Part(p); v != nil && !json.Valid(v) {
					t.Fatalf("%q: part %d is %q", r.Body, p, v)
				}
			}
		}
	})
}

func TestParseDoesNotAllocate(t *testing.T) {
	body := []byte(`{"kind":"EventList","items":[` + strings.Repeat(string(sample(t))+",", 20) + string(sample(t)) + `]}`)
	var batch Batch
	if n := testing.AllocsPerRun(10, func() {
		if err := batch.Parse(body, Limits{1 << 20, 100}); err != nil || len(batch.Records) != 21 {
			t.Fatal(err, batch.Err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func sample(tb testing.TB) []byte {
	b, err := os.ReadFile("testdata/pod.json")
	if err != nil {
		tb.Fatal(err)
	}
	return bytes.TrimSpace(b)
}

func BenchmarkParse(b *testing.B) {
	body := sample(b)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	var batch Batch
	for b.Loop() {
		if err := batch.Parse(body, Limits{1 << 20, 100}); err != nil {
			b.Fatal(err)
		}
	}
}
