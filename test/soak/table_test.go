package main

import (
	"maps"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/linux/procfs"
	"github.com/peregrine-sec/peregrine/internal/sensor/metrics"
)

// The table must hold the same processes as /proc, but for those that come or
// go between the two looks at it.
func TestAgree(t *testing.T) {
	before := map[int32]procfs.Stat{1: {Start: 1}, 7: {Comm: "stays", Start: 20, PPID: 1}, 8: {Comm: "goes", Start: 21, PPID: 1}}
	after := map[int32]procfs.Stat{1: {Start: 1}, 7: {Comm: "stays", Start: 20, PPID: 1}, 9: {Comm: "comes", Start: 30, PPID: 7}}
	at := func(pid, ppid int32, tick uint64) metrics.KnownProcess {
		return metrics.KnownProcess{PID: pid, PPID: ppid, Start: tick*uint64(procfs.Tick) + 12345}
	}
	for name, test := range map[string]struct {
		known []metrics.KnownProcess
		want  string
	}{
		"before":         {[]metrics.KnownProcess{at(1, 0, 1), at(7, 1, 20), at(8, 1, 21)}, ""},
		"after":          {[]metrics.KnownProcess{at(1, 0, 1), at(7, 1, 20), at(9, 7, 30)}, ""},
		"missing":        {[]metrics.KnownProcess{at(1, 0, 1)}, "7 stays of start 20 is in /proc and not"},
		"left":           {[]metrics.KnownProcess{at(1, 0, 1), at(7, 1, 20), at(5, 1, 3)}, "5  of start 3 is in the table and not"},
		"pid used again": {[]metrics.KnownProcess{at(1, 0, 1), at(7, 1, 4)}, "7 stays of start 20 is in /proc and not"},
		"wrong parent":   {[]metrics.KnownProcess{at(1, 0, 1), at(7, 3, 20)}, "7 stays: parent 3 in the table, 1 in /proc"},
	} {
		err := agree(before, after, test.known)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: want %q, got %v", name, test.want, err)
		}
	}
	orphan := maps.Clone(after)
	orphan[7] = procfs.Stat{Comm: "stays", Start: 20, PPID: 2}
	if err := agree(before, orphan, []metrics.KnownProcess{at(1, 0, 1), at(7, 2, 20)}); err != nil {
		t.Errorf("the parent has gone between the looks: %v", err)
	}
}

// Alerts of a container's program that name the host are found.
func TestContained(t *testing.T) {
	var c contained
	for _, line := range []string{
		`target 1 cat /tmp/target /tmp/target container=000000010000 called=soak-000000010000"`,
		`target 2 cat /tmp/target /tmp/target container=000000020000 called=<NA>"`,
		`target 3 soak -for 1h /tmp/target container=host called=host"`,
	} {
		c.note([]byte(line))
	}
	if c.right.Load() != 2 || c.named.Load() != 1 || c.err() != nil {
		t.Errorf("%v, %v", &c, c.err())
	}
	c.note([]byte(`target 4 cat /tmp/target /tmp/target container=host called=host"`))
	if c.err() == nil {
		t.Error("a container's alert that names the host is not found")
	}
}
