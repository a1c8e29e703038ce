package explain

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/sensor/plan"
)

// manyNames is how many kinds of events a row of the table names.
const manyNames = 20

// columns is the width of all tables.
const columns = 80

// writeStages says for each kind of event what the kernel checks.
func writeStages(b *bytes.Buffer, stages []plan.Stages) {
	if len(stages) == 0 {
		return
	}
	b.WriteString("\nWhat the kernel checks before it sends an event for this rule (-: nothing).\n" +
		"The sensor checks the rest of the condition.\n\n")
	fmt.Fprintf(b, "  %-7s %-9s %-13s %-9s %-8s %-7s %-4s %s\n", "result", "where", "argument", "programs", "sockets", "address", "path", "events")
	var rows []string
	events := map[string][]string{}
	table := false
	for _, s := range stages {
		row := stageRow(s)
		if events[row] == nil {
			rows = append(rows, row)
		}
		name := s.Event
		if s.Table {
			table, name = true, name+"*"
		}
		events[row] = append(events[row], name)
	}
	for _, row := range rows {
		words := events[row]
		if len(words) > manyNames {
			words = append(slices.Clip(words[:manyNames]), fmt.Sprintf("and %d more", len(words)-manyNames))
		}
		writeWrapped(b, "  "+row, words)
	}
	if table {
		b.WriteString("\n  * always sent if it succeeded: the process table needs it\n")
	}
}

func stageRow(s plan.Stages) string {
	if s.Always != "" {
		return fmt.Sprintf("%-64s", "always sent: "+s.Always)
	}
	where, programs, sockets, address, path := "-", "-", "-", "-", "-"
	if s.Container {
		where = "container"
	}
	if len(s.Names) > 0 {
		programs = fmt.Sprintf("%d names", len(s.Names))
	}
	if s.Sockets < s.SocketsOf {
		sockets = fmt.Sprintf("%d of %d", s.Sockets, s.SocketsOf)
	}
	if s.Addresses {
		address = "yes"
	}
	if s.Paths {
		path = "yes"
	}
	return fmt.Sprintf("%-7s %-9s %-13s %-9s %-8s %-7s %-4s ", cmp.Or(s.Result, "-"), where, cmp.Or(s.Argument, "-"), programs, sockets, address, path)
}

// writeWrapped writes words behind a head, below one another where they do not
// fit.
func writeWrapped(b *bytes.Buffer, head string, words []string) {
	lines := human.WrapWords(words, columns-len(head))
	b.WriteString(head + strings.Join(lines, "\n"+strings.Repeat(" ", len(head))) + "\n")
}

// letters are the stages that can leave events of a kind out for a rule.
func letters(all []plan.Stages) string {
	text := []byte("-------")
	for _, s := range all {
		for i, asks := range []bool{s.Result != "", s.Container, s.Argument != "", len(s.Names) > 0, s.Sockets < s.SocketsOf, s.Addresses, s.Paths} {
			if asks {
				text[i] = "rcansdp"[i]
			}
		}
	}
	return string(text)
}
