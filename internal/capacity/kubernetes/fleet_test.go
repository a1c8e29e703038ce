package kubernetes

import (
	"bytes"
	"context"
	"runtime"
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/capacity"
)

// A fleet of 5,000 nodes of 50 kinds: a node of each kind is measured, with a
// number of API calls that does not depend on the number of nodes beyond the
// pages that list them, and in memory that does not grow with their objects.
func TestFleet(t *testing.T) {
	const nodes, kinds, limits = 5000, 50, 2
	c, client := newCluster(t, nodes, kinds)
	c.log = measured
	o := options(t, client)
	o.Nodes, o.EachKind, o.Parallel = nil, true, 8
	o.Say = func(string, ...any) {}
	kept := 0
	o.Keep = func(Node) { kept++ }
	o.Parallel = 1 // Keep is called by one at a time then
	found, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, n := range found {
		seen[n.Kind] = true
	}
	if len(found) != kinds || len(seen) != kinds || kept != kinds {
		t.Errorf("%d nodes of %d kinds measured, %d kept", len(found), len(seen), kept)
	}
	total := 0
	for call, n := range c.calls {
		total += n
		t.Logf("%5d %s", n, call)
	}
	t.Logf("%d calls", total)
	if pages := c.calls["GET nodes"] - 1 - kinds*(1+limits); pages != nodes/pageSize {
		t.Errorf("%d requests list the nodes", pages)
	}
	// For each row: a dry run, a deletion, a copy, a Job, its log, its deletion,
	// an event, two looks, and a few at pods; the rest is the same for any fleet.
	if most := nodes/pageSize + kinds*(20+limits*20) + 60; total > most {
		t.Errorf("%d calls, want at most %d", total, most)
	}
	if c.bytes > 4<<20 {
		t.Errorf("an answer of %d bytes", c.bytes)
	}
	c.asBefore()
}

// Listing the nodes holds a page of them.
func TestKindsMemory(t *testing.T) {
	_, client := newCluster(t, 5000, 50)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	kinds, err := Kinds(context.Background(), client)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if len(kinds) != 50 || len(kinds[0].Nodes) != 100 || len(kinds[0].fit) != candidates {
		t.Errorf("%d kinds, %d nodes, %d to choose from", len(kinds), len(kinds[0].Nodes), len(kinds[0].fit))
	}
	// 45 MB of answers leave the names behind.
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 8<<20 {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	runtime.KeepAlive(kinds)
}

// Nodes without an instance type are alike if they have the same size.
func TestKind(t *testing.T) {
	n := convert[node](object{"status": object{"allocatable": object{"cpu": "3920m", "memory": "16Gi"}, "nodeInfo": object{"architecture": "arm64"}}})
	if got := n.kind(); got != "arm64, 3.92 CPU, 16 GiB" {
		t.Errorf("kind %q", got)
	}
}

func TestTable(t *testing.T) {
	row := func(cpu float64, s capacity.Status, syscalls, eps float64, why string) capacity.Row {
		return capacity.Row{Limit: capacity.Limit{CPU: cpu, Memory: 512 << 20}, Status: s, Syscalls: syscalls, EPS: eps, Error: why}
	}
	nodes := []Node{
		{Name: "a", Kind: "m5.large", Result: &capacity.Result{Rows: []capacity.Row{row(0.5, capacity.Confirmed, 61234, 1299, ""), row(1, capacity.AtLeast, 120e3, 2500, "")}}},
		{Name: "b", Kind: "c5|x", Result: &capacity.Result{Rows: []capacity.Row{row(0.5, capacity.Failed, 0, 0, "it is not ready\nafter 2m0s")}}},
		{Name: "c", Kind: "r5", Error: "it is cordoned: it takes no pods"},
	}
	var text, markdown bytes.Buffer
	if err := WriteTable(&text, nodes, false); err != nil {
		t.Fatal(err)
	}
	if err := WriteTable(&markdown, nodes, true); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| m5.large | a | 0.5 | 512Mi | 61K | 1200 |  |", "| m5.large | a | 1 | 512Mi | > 120K | > 2500 | at least |",
		`| c5\|x | b | 0.5 | 512Mi | - | - | failed: it is not ready after 2m0s |`, "| r5 | c |  |  |  |  | it is cordoned: it takes no pods |"} {
		if !strings.Contains(markdown.String(), want) {
			t.Errorf("no %q in\n%s", want, markdown.String())
		}
	}
	if lines := strings.Count(text.String(), "\n"); lines != 5 {
		t.Errorf("%d lines:\n%s", lines, text.String())
	}
}
