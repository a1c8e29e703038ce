// Package junit writes test results in the XML form that CI systems read.
package junit

import (
	"encoding/xml"
	"io"
	"time"
)

// Status is the end of a test.
type Status int

const (
	Passed  Status = iota
	Failed         // the assertion does not hold
	Errored        // the test could not be performed
	Skipped        // nothing is known
)

// Case is one test. Message says why it has not passed.
type Case struct {
	Name, Class string
	Took        time.Duration
	Status      Status
	Message     string
}

// Write writes the cases as one test suite that took as long as they say
// together.
func Write(w io.Writer, suite string, cases []Case) error {
	s := testsuite{Name: suite, Tests: len(cases)}
	for _, c := range cases {
		s.add(c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(s); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

type testsuite struct {
	XMLName  xml.Name   `xml:"testsuite"`
	Name     string     `xml:"name,attr"`
	Tests    int        `xml:"tests,attr"`
	Failures int        `xml:"failures,attr"`
	Errors   int        `xml:"errors,attr"`
	Skipped  int        `xml:"skipped,attr"`
	Seconds  float64    `xml:"time,attr"`
	Cases    []testcase `xml:"testcase"`
}

type testcase struct {
	Name    string   `xml:"name,attr"`
	Class   string   `xml:"classname,attr"`
	Seconds float64  `xml:"time,attr"`
	Failure *message `xml:"failure,omitempty"`
	Error   *message `xml:"error,omitempty"`
	Skipped *message `xml:"skipped,omitempty"`
}

type message struct {
	Text string `xml:"message,attr"`
}

func (s *testsuite) add(c Case) {
	t := testcase{Name: c.Name, Class: c.Class, Seconds: c.Took.Seconds()}
	switch c.Status {
	case Failed:
		s.Failures++
		t.Failure = &message{c.Message}
	case Errored:
		s.Errors++
		t.Error = &message{c.Message}
	case Skipped:
		s.Skipped++
		t.Skipped = &message{c.Message}
	}
	s.Seconds += t.Seconds
	s.Cases = append(s.Cases, t)
}
