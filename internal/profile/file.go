package profile

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/human"
)

// JSONSchema describes the file (json-schema.org, draft 2020-12).
//
//go:embed schema.json
var JSONSchema []byte

// mostBytes is far above the size of a profile.
const mostBytes = 16 << 20

// ReadFile reads a profile from a file.
func ReadFile(path string) (*Profile, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	defer file.Close()
	p, err := Read(file)
	if err != nil {
		return nil, fmt.Errorf("profile %s: %w", path, err)
	}
	return p, nil
}

// Read reads a profile and checks it.
func Read(r io.Reader) (*Profile, error) {
	text, err := io.ReadAll(io.LimitReader(r, mostBytes+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > mostBytes:
		return nil, fmt.Errorf("more than %d MB: expected a file of peregrine profile", mostBytes>>20)
	}
	var version struct{ Schema int }
	if err := human.ParseJSON(text, &version); err != nil {
		return nil, fmt.Errorf("expected the JSON of peregrine profile: %w", err)
	}
	if version.Schema != Schema {
		return nil, fmt.Errorf("expected a profile of schema %d, found schema %d", Schema, version.Schema)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	p := &Profile{}
	if err := decoder.Decode(p); err != nil {
		return nil, human.JSONError(text, err)
	}
	if err := p.Shape.count(); err != nil {
		return nil, err
	}
	return p, p.check()
}

// Write writes the profile as one line of JSON.
func (p *Profile) Write(w io.Writer) error {
	short := *p
	short.Shape.Strands = slices.Clone(p.Shape.Strands)
	for i := range short.Shape.Strands {
		if s := &short.Shape.Strands[i]; s.Exact != nil {
			s.Counts, s.Slots = nil, ""
		}
	}
	return json.NewEncoder(w).Encode(short)
}

// WriteFile writes the profile to a file, or replaces it.
func (p *Profile) WriteFile(path string) error {
	o, err := Create(path)
	if err != nil {
		return err
	}
	return o.Write(p)
}

// mostRate bounds every rate: a call per nanosecond on a thousand CPUs.
const mostRate = 1e12

const (
	mostSyscalls = 1000    // Linux has some 400
	mostWindows  = 100_000 // a merge of thousands of profiles has ten of each
)

func (p *Profile) check() error {
	if !(p.Seconds > 0) || p.Seconds > 1e10 {
		return fmt.Errorf("seconds %g: expected a positive number", p.Seconds)
	}
	if p.Source.Nodes < 1 {
		return fmt.Errorf("source.nodes %d: expected at least 1", p.Source.Nodes)
	}
	if err := rateAndShare("", Calls{p.Rate, p.Failed}); err != nil {
		return err
	}
	if len(p.Syscalls) > mostSyscalls {
		return fmt.Errorf("%d syscalls: expected at most %d", len(p.Syscalls), mostSyscalls)
	}
	seen := map[string]bool{}
	sum := 0.0
	for i, s := range p.Syscalls {
		if s.Name == "" {
			return fmt.Errorf("syscalls[%d]: no name", i)
		}
		if seen[s.Name] {
			return fmt.Errorf("syscalls[%d]: %s occurs twice", i, s.Name)
		}
		seen[s.Name] = true
		if err := errors.Join(rateAndShare(s.Name+".host", s.Host), rateAndShare(s.Name+".container", s.Container)); err != nil {
			return err
		}
		sum += s.Rate()
	}
	if math.Abs(p.Rate-sum) > 0.01*sum+0.01 { // all of them are rounded
		return fmt.Errorf("rate %g: expected the sum of the syscalls' rates, %g", p.Rate, sum)
	}
	return p.Shape.check()
}

func rateAndShare(of string, c Calls) error {
	if !(c.Rate >= 0) || c.Rate > mostRate {
		return fmt.Errorf("%s: rate %g: expected 0 to %g", of, c.Rate, float64(mostRate))
	}
	if !(c.Failed >= 0) || c.Failed > 1 {
		return fmt.Errorf("%s: failed %g: expected a share from 0 to 1", of, c.Failed)
	}
	return nil
}

// mostCounts are those of all strands together, as many as fit into a file.
const mostCounts = mostBytes / 2

// count gives the strands that are exact their counts.
func (s *Shape) count() error {
	left := mostCounts
	for i := range s.Strands {
		strand := &s.Strands[i]
		if strand.Exact == nil {
			continue
		}
		if left -= strand.Exact.Windows; left < 0 {
			return fmt.Errorf("shape: more than %d windows of all strands together", mostCounts)
		}
		strand.Counts, strand.Slots = strand.Exact.counts(), ""
	}
	return nil
}

func (s *Shape) checkClumps() error {
	for i, c := range s.Clumps {
		if i > 1 || i == 1 && c.Container == s.Clumps[0].Container {
			return errors.New("shape.clumps: expected at most one of the host and one of containers")
		}
		if c.Milliseconds == nil || c.Milliseconds.Windows > s.Windows()*Slots {
			return fmt.Errorf("shape.clumps[%d]: expected milliseconds of at most %d windows", i, s.Windows())
		}
	}
	return nil
}

func (s *Shape) check() error {
	if s.Windows() > mostWindows {
		return fmt.Errorf("shape: %d windows: expected at most %d", s.Windows(), mostWindows)
	}
	for i, strand := range s.Strands {
		if !slices.Contains(Groups, strand.Group) {
			return fmt.Errorf("shape.strands[%d]: group %q: expected one of %v", i, strand.Group, Groups)
		}
		if len(strand.Counts) != s.Windows() {
			return fmt.Errorf("shape.strands[%d]: %d windows, others have %d", i, len(strand.Counts), s.Windows())
		}
		if strand.Slots != "" && (len(strand.Slots) != 2*len(strand.Counts) || strings.Trim(strand.Slots, digits) != "") {
			return fmt.Errorf("shape.strands[%d]: slots of %d characters: expected two of %s for each window", i, len(strand.Slots), digits)
		}
	}
	return s.checkClumps()
}
