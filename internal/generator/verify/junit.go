package verify

import (
	"encoding/xml"
	"io"
)

// WriteJUnit writes the outcomes as a JUnit report.
func WriteJUnit(w io.Writer, outcomes []Outcome) error {
	suite := junitSuite{Name: "peregrine generate test", Tests: len(outcomes)}
	for _, o := range outcomes {
		c := junitCase{Name: o.Action.Name, Class: o.Action.Collection(), Seconds: o.Took.Seconds()}
		switch o.Status {
		case Failed:
			suite.Failures++
			c.Failure = &junitMessage{Message: o.Detail}
		case Errored:
			suite.Errors++
			c.Error = &junitMessage{Message: o.Detail}
		case Skipped:
			suite.Skipped++
			c.Skipped = &junitMessage{Message: o.Detail}
		}
		suite.Seconds += c.Seconds
		suite.Cases = append(suite.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "  ")
	if err := encoder.Encode(suite); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

type junitSuite struct {
	XMLName  xml.Name    `xml:"testsuite"`
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Errors   int         `xml:"errors,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Seconds  float64     `xml:"time,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Seconds float64       `xml:"time,attr"`
	Failure *junitMessage `xml:"failure"`
	Error   *junitMessage `xml:"error"`
	Skipped *junitMessage `xml:"skipped"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
}
