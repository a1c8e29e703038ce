package explain

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/internal/sensor/field"
	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
	"github.com/peregrine-sec/peregrine/test/support/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

var rewrite = flag.Bool("update", false, "write the golden files anew")

// list is a Source.
type list struct {
	events [][]byte
	err    error
}

func (l *list) Next() ([]byte, error) {
	if len(l.events) == 0 {
		if l.err != nil {
			return nil, l.err
		}
		return nil, io.EOF
	}
	ev := l.events[0]
	l.events = l.events[1:]
	return ev, nil
}

const second = uint64(1e9)

// makeEvent builds an event of kind k in process pid; set fills its slots.
func makeEvent(k event.Kind, n, pid uint32, set func(b *event.Builder, slot func(string) int)) []byte {
	var b event.Builder
	b.Start(k, event.Header{
		Time: 1000*second + uint64(n), PID: pid, TID: pid, PPID: 1, Start: uint64(pid), Syscall: event.NoSyscall, LoginUID: 0xffffffff,
	})
	if set != nil {
		set(&b, k.Info().Slot)
	}
	return slices.Clone(b.Finish())
}

func process(n, pid uint32, comm string) []byte {
	return makeEvent(event.KindTask, n, pid, func(b *event.Builder, slot func(string) int) {
		b.Str(slot("comm"), comm)
		b.Int(slot("ppid"), 1)
		b.Uint(slot("start"), uint64(pid))
	})
}

func open(n, pid uint32, path string) []byte {
	return makeEvent(event.KindOpen, n, pid, func(b *event.Builder, slot func(string) int) {
		b.Int(slot("fd"), 3)
		b.Str(slot("name"), path)
		b.Uint(slot("flags"), 1)
		b.File(slot("file"), event.FileInfo{Type: event.FDFile}, nil)
	})
}

func source() *list {
	return &list{events: [][]byte{
		process(1, 10, "cat"), process(2, 11, "vim"),
		open(3, 10, "/etc/ld.so.cache"), open(4, 11, "/etc/hosts"), open(5, 11, "/etc/shadow"), open(6, 10, "/tmp/x"),
		makeEvent(event.KindClose, 7, 10, nil),
	}}
}

func rule(t *testing.T, cond string) *rules.Rule {
	t.Helper()
	return ruleSet(t, cond).Rules[0]
}

func ruleSet(t *testing.T, cond string) *rules.Set {
	t.Helper()
	text := "- macro: opens\n  condition: (evt.type in (open, openat) and evt.is_open_read=true)\n" +
		"- rule: r\n  desc: a rule\n    to be explained\n  condition: " + cond + "\n  output: o %fd.name\n  priority: INFO\n  tags: [x]\n"
	set, report := rules.Load([]rules.Source{{Name: "r.yaml", Content: []byte(text)}}, rules.Options{Lookup: field.Lookup})
	if set == nil {
		t.Fatal(report.Err())
	}
	return set
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := "testdata/" + name + ".golden"
	if *rewrite {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func TestSummaries(t *testing.T) {
	for name, cond := range map[string]string{
		"match":   "opens and fd.name = /etc/shadow",
		"nearest": "opens and proc.name = cat and (fd.name startswith /etc/sh or fd.name contains passwd) and not fd.name endswith cache",
		"missing": "opens and proc.pname exists",
		"kinds":   "evt.type = execve",
	} {
		t.Run(name, func(t *testing.T) {
			v, err := Test(context.Background(), source(), rule(t, cond))
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if err := v.Write(&b); err != nil {
				t.Fatal(err)
			}
			golden(t, name, b.Bytes())
		})
	}
}

func TestSummaryOfBrokenCapture(t *testing.T) {
	src := source()
	src.err = errors.New("cut off")
	v, err := Test(context.Background(), src, rule(t, "opens and fd.name = /etc/shadow"))
	if err == nil || err.Error() != "cut off" || v == nil || v.Matches != 1 {
		t.Errorf("summary %+v, error %v", v, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Test(ctx, source(), rule(t, "opens")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestCost(t *testing.T) {
	text := ""
	for name, cond := range map[string]string{
		"matches": "evt.type = open and fd.name = /etc/shadow", "cat only": "evt.type = open and proc.name = cat and fd.name = /none",
		"never": "evt.type = execve",
	} {
		text += "- rule: " + name + "\n  desc: d\n  condition: " + cond + "\n  output: o\n  priority: INFO\n"
	}
	set, report := rules.Load([]rules.Source{{Name: "r.yaml", Content: []byte(text)}}, rules.Options{Lookup: field.Lookup})
	if set == nil {
		t.Fatal(report.Err())
	}
	c, err := Cost(context.Background(), source(), set.Rules)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][2]uint64{}
	for _, r := range c.Rules {
		got[r.Rule] = [2]uint64{r.Evaluations, r.Matches}
	}
	// How many of the other opens are evaluated is the plan's business.
	if m := got["matches"]; m[0] < 1 || m[0] > 4 || m[1] != 1 {
		t.Errorf("evaluations and matches of opens: %v", m)
	}
	if m := got["cat only"]; m[0] > 2 || m[1] != 0 {
		t.Errorf("evaluations and matches of opens by cat: %v", m)
	}
	if got["never"] != [2]uint64{} || c.Events != 7 {
		t.Errorf("%v, %d events", got["never"], c.Events)
	}
	for _, r := range c.Rules {
		want := map[string][2]uint64{"matches": {1, 1}, "cat only": {}}[r.Rule]
		if r.Sent != want[0] || r.Alone != want[1] {
			t.Errorf("%s: sent %d, alone %d, want %v", r.Rule, r.Sent, r.Alone, want)
		}
	}
	if c.LeftOut != 4 || c.ForTable != 0 {
		t.Errorf("left out %d, for the table %d", c.LeftOut, c.ForTable)
	}
	var b bytes.Buffer
	if err := c.Write(&b); err != nil || !strings.Contains(b.String(), "2 more rules were never evaluated") {
		t.Errorf("%v\n%s", err, &b)
	}
}

func TestWriteRule(t *testing.T) {
	for name, cond := range map[string]string{
		"rule":      "opens and proc.name in (a, b) and not (fd.name startswith /etc and proc.pname = sh)",
		"rule-all":  "fd.name = x",
		"rule-none": "evt.type = open and evt.num = 0",
		"rule-kernel": "opens and fd.name startswith /etc/ or evt.type = openat and not opens and evt.arg.flags contains O_TRUNC and " +
			"(fd.directory = /usr or proc.name = a) or evt.type = unlink and fd.name = x",
		"rule-stages": "evt.type in (connect, sendto) and fd.l4proto = udp and fd.sport in (22, 2222) and container.id != host or evt.type in (socket, close) and evt.arg.domain contains AF_PACKET " +
			"or evt.type in (execve, procexit) and evt.failed = true or evt.type = mkdir and evt.rawres >= 0 and proc.name in (a, b)",
	} {
		var b bytes.Buffer
		set := ruleSet(t, cond)
		if err := WriteRule(&b, set.Rules[0], set); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.Bytes())
	}
}

// Whether an open must have succeeded is a fact of the stage of opens.
func TestStagesOfOpens(t *testing.T) {
	for condition, want := range map[string]string{
		"evt.type = openat and fd.num >= 0":                                                   "success",
		"evt.type = openat and fd.typechar = d and fd.name = /x":                              "-",
		"evt.type = openat and evt.rawres < 0":                                                "failure",
		"evt.type = openat and evt.failed = true":                                             "failure",
		"evt.type = openat and (fd.num >= 0 or fd.name = /x)":                                 "-",
		"evt.type = openat and (fd.name = /y and fd.num < 0 or fd.num >= 0 and fd.name = /x)": "-",
		"evt.type = openat and fd.num >= 0 and evt.failed = true":                             "never",
	} {
		set := ruleSet(t, condition)
		var b bytes.Buffer
		if err := WriteRule(&b, set.Rules[0], set); err != nil {
			t.Fatal(err)
		}
		var row []string
		for line := range strings.Lines(b.String()) {
			if words := strings.Fields(line); len(words) > 0 && slices.Contains(words, "openat") && strings.HasPrefix(line, "  ") && !slices.Contains(words, "load") {
				row = words
			}
		}
		if len(row) < 7 || row[0] != want {
			t.Errorf("%s: %q, want %s\n%s", condition, row, want, &b)
		}
	}
}

func TestWriteRuleJSON(t *testing.T) {
	var b bytes.Buffer
	set := ruleSet(t, "opens and fd.name startswith /etc/ or evt.type = connect and container.id != host")
	if err := WriteRuleJSON(&b, set.Rules[0]); err != nil {
		t.Fatal(err)
	}
	golden(t, "rule-json", b.Bytes())
}

// With more patterns than the kernel takes, nothing is decided there.
func TestWriteRuleWithoutKernel(t *testing.T) {
	var names []string
	for i := range 3000 {
		names = append(names, fmt.Sprintf("/%04d/x", i))
	}
	set := ruleSet(t, "opens and fd.name in ("+strings.Join(names, ", ")+")")
	var b bytes.Buffer
	if err := WriteRule(&b, set.Rules[0], set); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "  kernel ") || !strings.Contains(b.String(), "The kernel sends every open") {
		t.Error(b.String())
	}
}
