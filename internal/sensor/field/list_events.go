package field

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// paramTypeNames are the types of parameters as Falco's listing has them.
var paramTypeNames = [...]string{
	event.Errno: "ERRNO", event.FD: "FD", event.PID: "PID", event.UID: "UID", event.GID: "GID",
	event.Int8: "INT8", event.Int16: "INT16", event.Int32: "INT32", event.Int64: "INT64",
	event.Uint8: "UINT8", event.Uint16: "UINT16", event.Uint32: "UINT32", event.Uint64: "UINT64",
	event.SigType: "SIGTYPE", event.SigSet: "SIGSET", event.RelTime: "RELTIME", event.AbsTime: "ABSTIME",
	event.Flags: "FLAGS", event.Enum: "ENUMFLAGS", event.Mode: "MODE", event.SyscallName: "SYSCALLID",
	event.String: "CHARBUF", event.Path: "FSPATH", event.RelPath: "FSRELPATH", event.Bytes: "BYTEBUF",
	event.Strings: "CHARBUFARRAY", event.SockAddr: "SOCKADDR", event.SockTuple: "SOCKTUPLE",
	event.FDList: "FDLIST", event.Dyn: "DYNAMIC", event.File: "",
}

// listed says whether rules can see events of the kind: some exist for the
// process table only.
func listed(k event.Kind) bool {
	switch k {
	case event.KindTask, event.KindProcfork, event.KindProcmove, event.KindFchmodat2, event.KindSyscall:
		return false
	}
	return true
}

// eventLine is "name(TYPE parameter: NAME, NAME, ...)".
func eventLine(k event.Kind) string {
	params := make([]string, 0, len(k.Info().Params))
	for _, p := range k.Info().Params {
		params = append(params, paramTypeNames[p.Type]+" "+p.Name)
	}
	return k.String() + "(" + strings.Join(params, ", ") + ")"
}

// genericSyscalls are the syscalls without parameters of their own, sorted.
func genericSyscalls() []string {
	var names []string
	for id := range event.ID(event.NumSyscalls()) {
		if id.Kind() == event.KindSyscall {
			names = append(names, id.String())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// WriteEvents lists the events with their parameters, as Falco's --list-events
// does: "< open(FD fd, FSPATH name, ...)".
func WriteEvents(w io.Writer) error {
	b := bufio.NewWriter(w)
	for k := range event.Kind(event.NumKinds) {
		if listed(k) {
			fmt.Fprintf(b, "< %s\n", eventLine(k))
		}
	}
	for _, name := range genericSyscalls() {
		fmt.Fprintf(b, "< %s()\n", name)
	}
	return b.Flush()
}

// WriteEventsMarkdown is WriteEvents as a table.
func WriteEventsMarkdown(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, "Name | Category | Params\n:----|:---------|:-----")
	for k := range event.Kind(event.NumKinds) {
		if !listed(k) {
			continue
		}
		category := cmp.Or(kindCategories[k], "of the descriptor")
		params := make([]string, 0, len(k.Info().Params))
		for _, p := range k.Info().Params {
			s := "**" + cell(p.Name) + "** " + paramTypeNames[p.Type]
			if table := flagTables[p.Table]; len(table) > 0 {
				names := make([]string, len(table))
				for i, f := range table {
					names[i] = cell(f.name)
				}
				s += ": " + strings.Join(names, " ")
			}
			params = append(params, s)
		}
		fmt.Fprintf(b, "`%s` | %s | %s\n", k, category, strings.Join(params, ", "))
	}
	fmt.Fprintf(b, "\nThese syscalls have no parameters: %s.\n", "`"+strings.Join(genericSyscalls(), "` `")+"`")
	return b.Flush()
}
