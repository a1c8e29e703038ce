package config

import (
	"fmt"
	"io"
	"sort"
	"strings"
)

// writeReference writes every key as a Markdown table for each top-level key,
// and the keys that are accepted without effect.
func writeReference(w io.Writer) error {
	var b strings.Builder
	var sections, scalars []Key
	below := map[string][]Key{}
	for _, k := range Keys() {
		top, _, nested := strings.Cut(strings.Replace(k.Path, "[]", ".", 1), ".")
		if nested {
			below[top] = append(below[top], k)
		} else {
			sections = append(sections, k)
		}
	}
	for _, s := range sections {
		if below[s.Path] == nil {
			scalars = append(scalars, s)
		}
	}
	b.WriteString("## Single keys\n\n")
	writeTable(&b, scalars)
	for _, s := range sections {
		if keys := below[s.Path]; keys != nil {
			fmt.Fprintf(&b, "\n## `%s`\n\n%s\n\n", s.Path, s.Doc)
			writeTable(&b, keys)
		}
	}
	b.WriteString("\n## Old names\n\nRead as if given by the name of today; the log says so.\n\n| old | now |\n|---|---|\n")
	for _, r := range renamed {
		fmt.Fprintf(&b, "| `%s` | `%s` |\n", r.old, r.now)
	}
	b.WriteString("| `grpc.listenPort` (without `unixSocketPath`) | `grpc.bind_address: 0.0.0.0:PORT` |\n" +
		"| `container_engines` | `engines` of the plugin `container` |\n")
	b.WriteString("\n## Keys without effect\n\nKnown to some version of Falco, accepted, and noted in the log.\n\n| key | why |\n|---|---|\n")
	var names []string
	for name := range inertKeys {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Fprintf(&b, "| `%s` | %s |\n", name, inertKeys[name])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeTable(b *strings.Builder, keys []Key) {
	b.WriteString("| key | type | default | |\n|---|---|---|---|\n")
	for _, k := range keys {
		value := ""
		if k.Default != "" {
			value = "`" + k.Default + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", k.Path, k.Type, value, strings.ReplaceAll(k.Doc, "|", "\\|"))
	}
}
