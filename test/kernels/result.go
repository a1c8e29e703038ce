package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
)

// result is read from the console of a machine.
type result struct {
	kernel    string // its release
	object    string // the probe's, as its test says
	jobs      []jobResult
	done      bool
	complaint string   // of the kernel
	console   []string // its last lines
}

// jobResult counts the tests of a job, without those inside tests.
type jobResult struct {
	name                    string
	exit                    string
	passed, failed, skipped int
	output                  []string
}

var (
	verdict   = regexp.MustCompile(`^--- (PASS|FAIL|SKIP): `)
	complaint = regexp.MustCompile(`\b(WARNING: CPU|BUG:|Kernel panic|Oops:|general protection fault|INFO: task .* blocked)`)
	object    = regexp.MustCompile(`\bobject=(\w+)$`)
)

const lastLines = 40

// read follows the console to its end.
func (r *result) read(in *bufio.Reader) error {
	for {
		line, err := in.ReadString('\n')
		r.line(strings.TrimRight(line, "\r\n"))
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *result) line(s string) {
	r.console = append(r.console[max(0, len(r.console)-lastLines):], s)
	if r.complaint == "" && complaint.MatchString(s) {
		r.complaint = s
	}
	if m := object.FindStringSubmatch(s); m != nil {
		r.object = m[1]
	}
	// A message of the kernel's may be in front.
	_, told, ours := strings.Cut(s, prefix)
	if ours {
		r.told(strings.Fields(told))
		return
	}
	if len(r.jobs) == 0 {
		return
	}
	j := &r.jobs[len(r.jobs)-1]
	j.output = append(j.output, s)
	if m := verdict.FindStringSubmatch(s); m != nil {
		switch m[1] {
		case "PASS":
			j.passed++
		case "FAIL":
			j.failed++
		case "SKIP":
			j.skipped++
		}
	}
}

// told takes a message of init: its kind, and its subject.
func (r *result) told(words []string) {
	if len(words) < 2 {
		return
	}
	switch what, value := words[0], words[1]; what {
	case "kernel":
		r.kernel = value
	case "job":
		r.jobs = append(r.jobs, jobResult{name: value})
	case "exit":
		if len(r.jobs) > 0 {
			r.jobs[len(r.jobs)-1].exit = value
		}
	case "done":
		r.done = true
	}
}

// check wants every job to have ended well, with tests that passed and none
// left out, and a kernel that had nothing to say against it.
func (r *result) check(jobs []job) error {
	var errs []error
	if r.complaint != "" {
		errs = append(errs, fmt.Errorf("the kernel complained: %s", r.complaint))
	}
	for i, j := range jobs {
		if i >= len(r.jobs) {
			break
		}
		if got := r.jobs[i]; got.exit != "0" || got.passed == 0 && j.tests != "" || got.failed > 0 {
			errs = append(errs, fmt.Errorf("%s (exit %q):\n%s", j.name, got.exit, strings.Join(failures(got.output), "\n")))
		}
	}
	if !r.done || len(r.jobs) < len(jobs) {
		errs = append(errs, fmt.Errorf("the machine ended early; its last words:\n%s", strings.Join(r.console, "\n")))
	}
	return errors.Join(errs...)
}

// failures leaves out the output of passing tests.
func failures(lines []string) []string {
	var out []string
	for _, l := range lines {
		s := strings.TrimSpace(l)
		switch {
		case strings.HasPrefix(s, "=== "), strings.HasPrefix(s, "--- PASS"), s == "":
		default:
			out = append(out, l)
		}
	}
	return out
}

// print writes a row for each job, and what commands have said.
func (r *result) print(w io.Writer, jobs []job, took time.Duration) {
	if r == nil {
		return
	}
	for i, j := range r.jobs {
		fmt.Fprintf(w, "%-28s %-8s %-8s exit %-3s %3d passed %3d failed %3d skipped\n", r.kernel, r.object, j.name, j.exit, j.passed, j.failed, j.skipped)
		if i < len(jobs) && jobs[i].tests == "" {
			fmt.Fprintln(w, strings.Join(j.output, "\n"))
		}
	}
	fmt.Fprintf(w, "%-28s took %v\n", r.kernel, took.Round(time.Second))
}
