package junit

import (
	"bytes"
	"encoding/xml"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

func TestWrite(t *testing.T) {
	var out bytes.Buffer
	err := Write(&out, "a suite", []Case{
		{Name: "one", Class: "syscall", Took: 1500 * time.Millisecond},
		{Name: "two", Status: Failed, Message: `no alert of rule "<A & B>"`},
		{Name: "three", Status: Errored, Message: "EACCES"},
		{Name: "four", Status: Skipped, Message: "only applicable to containers"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got testsuite
	if err := xml.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := testsuite{XMLName: xml.Name{Local: "testsuite"}, Name: "a suite", Tests: 4, Failures: 1, Errors: 1, Skipped: 1, Seconds: 1.5,
		Cases: []testcase{
			{Name: "one", Class: "syscall", Seconds: 1.5},
			{Name: "two", Failure: &message{`no alert of rule "<A & B>"`}},
			{Name: "three", Error: &message{"EACCES"}},
			{Name: "four", Skipped: &message{"only applicable to containers"}},
		}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if strings.Contains(strings.Split(out.String(), "four")[0], "skipped message") {
		t.Errorf("a test that has passed is skipped:\n%s", &out)
	}
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestWriteError(t *testing.T) {
	if err := Write(full{}, "a suite", nil); err == nil {
		t.Error("a report on a full disk is written")
	}
}
