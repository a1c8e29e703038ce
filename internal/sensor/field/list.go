package field

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/human"
)

var fieldTypeNames = [...]string{
	String: "CHARBUF", Int: "INT64", Uint: "UINT64", Bool: "BOOL", Port: "PORT", IPAddr: "IPADDR", IPNet: "IPNET",
	RelTime: "RELTIME", AbsTime: "ABSTIME", Double: "DOUBLE", Bytes: "BYTEBUF",
}

// String is the type's name in listings, as in Falco's.
func (t Type) String() string { return fieldTypeNames[t] }

// String says when a value becomes known.
func (s Stage) String() string {
	return [...]string{AtLoad: "load", AtExec: "exec", AtKernel: "kernel", AtEvent: "event"}[s]
}

// Class is the part of a field's name before the first dot, under which it is
// listed.
func (f *Field) Class() string {
	class, _, _ := strings.Cut(f.Name, ".")
	return class
}

// tags are the properties of a field besides its type.
func (f *Field) tags() []string {
	var tags []string
	add := func(is bool, tag string) {
		if is {
			tags = append(tags, tag)
		}
	}
	add(f.Arg == ArgRequired, "ARG_REQUIRED")
	add(f.Arg == ArgAllowed, "ARG_ALLOWED")
	add(f.Match == List, "IS_LIST")
	add(f.Match == Any || f.Match == Ends, "MANY_VALUES")
	add(f.Flags&FilterOnly != 0, "FILTER_ONLY")
	add(f.Flags&NoRHS != 0, "NO_RHS")
	add(f.Flags&NoTransformer != 0, "NO_TRANSFORMER")
	add(f.Flags&Deprecated != 0, "DEPRECATED")
	return tags
}

var classDocs = map[string]string{
	"evt":       "The event itself: its time, type, parameters and result.",
	"syscall":   "The event, if it is a syscall.",
	"proc":      "The process in which the event happened, and its ancestors.",
	"thread":    "The thread in which the event happened.",
	"user":      "The user that the process runs as.",
	"group":     "The group that the process runs as.",
	"fd":        "The descriptor that the event is about: a file, a socket, ...",
	"fs":        "The paths of syscalls on the file system.",
	"fdlist":    "The descriptors that poll and ppoll wait for.",
	"container": "The container of the process; host outside containers.",
	"k8s":       "The Kubernetes pod of the process.",
	"k8smeta":   "The Kubernetes pod of the process, under the names of Falco's plugin k8smeta.",
	"ka":        "The Kubernetes audit event.",
	"jevt":      "The audit event as JSON: any part of it.",
	"json":      "Other names of the fields of jevt.",
	"static":    "Fixed texts from the configuration.",
}

// byClass calls each for every class with its fields; those of evt that only
// some sources have come apart.
func byClass(fields []*Field, each func(class string, sources []string, fields []*Field)) {
	for _, class := range classes {
		for _, sources := range [][]string{{SyscallSource, K8sAuditSource}, {SyscallSource}, {K8sAuditSource}} {
			var of []*Field
			for _, f := range fields {
				if f.Class() == class && slices.Equal(f.Sources(), sources) {
					of = append(of, f)
				}
			}
			if len(of) > 0 {
				each(class, sources, of)
			}
		}
	}
}

// nameWidth is the column of names in text listings, as wide as Falco's.
const nameWidth = 30

// WriteText lists fields for people, in the layout of Falco's --list. verbose
// adds type, restrictions, and when the value becomes known.
func WriteText(w io.Writer, fields []*Field, verbose bool) error {
	b := bufio.NewWriter(w)
	byClass(fields, func(class string, sources []string, fields []*Field) {
		fmt.Fprintln(b, "-------------------------------")
		for _, line := range [][2]string{{"Field Class:", class}, {"Description:", classDocs[class]}, {"Event Sources:", strings.Join(sources, ", ")}} {
			fmt.Fprintf(b, "%-*s%s\n", nameWidth, line[0], line[1])
		}
		fmt.Fprintln(b)
		for _, f := range fields {
			name := f.Name
			if len(name) > nameWidth-1 {
				fmt.Fprintln(b, name)
				name = ""
			}
			text := f.Doc
			if verbose {
				text = fmt.Sprintf("(%s) %s", strings.Join(append([]string{"Type: " + f.Type.String(), "Known: " + f.Stage.String()}, f.tags()...), ", "), text)
			}
			for i, line := range human.Wrap(text, 90) {
				if i > 0 {
					name = ""
				}
				fmt.Fprintf(b, "%-*s%s\n", nameWidth, name, line)
			}
		}
		fmt.Fprintln(b)
	})
	return b.Flush()
}

// WriteNames lists the names alone, one a line.
func WriteNames(w io.Writer, fields []*Field) error {
	b := bufio.NewWriter(w)
	for _, f := range fields {
		fmt.Fprintln(b, f.Name)
	}
	return b.Flush()
}

// WriteMarkdown lists fields in tables, one for each class.
func WriteMarkdown(w io.Writer, fields []*Field) error {
	b := bufio.NewWriter(w)
	byClass(fields, func(class string, sources []string, fields []*Field) {
		fmt.Fprintf(b, "## Field Class: %s\n\n%s\n\nEvent Sources: %s\n\n", class, classDocs[class], strings.Join(sources, ", "))
		fmt.Fprintln(b, "Name | Type | Known | Notes | Description\n:----|:-----|:------|:------|:-----------")
		for _, f := range fields {
			fmt.Fprintf(b, "`%s` | %s | %s | %s | %s\n", f.Name, f.Type, f.Stage, strings.Join(f.tags(), ", "), cell(f.Doc))
		}
		fmt.Fprintln(b)
	})
	return b.Flush()
}

// cell makes text safe in a table of Markdown.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;", "*", `\*`, "_", `\_`).Replace(s)
}

type jsonClass struct {
	Name    string      `json:"name"`
	Desc    string      `json:"desc"`
	Sources []string    `json:"event_sources"`
	Fields  []jsonField `json:"fields"`
}

type jsonField struct {
	Name  string   `json:"name"`
	Desc  string   `json:"desc"`
	Type  string   `json:"type"`
	Known string   `json:"known"`
	Tags  []string `json:"tags"`
}

// WriteJSON lists fields for programs: {"fieldclasses": [{name, desc,
// event_sources, fields: [{name, desc, type, known, tags}]}]}.
func WriteJSON(w io.Writer, fields []*Field) error {
	var list struct {
		Classes []jsonClass `json:"fieldclasses"`
	}
	list.Classes = []jsonClass{}
	byClass(fields, func(class string, sources []string, fields []*Field) {
		c := jsonClass{Name: class, Desc: classDocs[class], Sources: sources}
		for _, f := range fields {
			c.Fields = append(c.Fields, jsonField{f.Name, f.Doc, f.Type.String(), f.Stage.String(), slices.Concat([]string{}, f.tags())})
		}
		list.Classes = append(list.Classes, c)
	})
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(list)
}
