package field

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
)

//go:embed flags.txt
var flagsText string

// flagTable names the bits, or values, of parameters of one kind.
type flagTable []flagName

type flagName struct {
	name  string
	value uint32
}

// flagTables are the tables of flags.txt by name, as event.Param.Table has it.
var flagTables = parseFlagTables(flagsText)

func parseFlagTables(data string) map[string]flagTable {
	tables := make(map[string]flagTable)
	for line := range strings.Lines(data) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		table := make(flagTable, 0, len(words)-1)
		for _, w := range words[1:] {
			name, value, _ := strings.Cut(w, "=")
			n, err := strconv.ParseUint(value, 0, 32)
			if err != nil {
				panic(fmt.Sprintf("flags.txt: table %s: %s: want NAME=NUMBER", words[0], w))
			}
			table = append(table, flagName{name, uint32(n)})
		}
		tables[words[0]] = table
	}
	return tables
}

// appendBits appends the names of the bits of v, joined by "|", in the order
// of the table. Every name takes its bits away, so that O_RDWR does not print
// O_WRONLY and O_RDONLY too; bits without a name are left out. A name of value
// 0 stands for no bits at all.
func (t flagTable) appendBits(dst []byte, v uint32) []byte {
	start, rest := len(dst), v
	for _, f := range t {
		if rest&f.value != f.value || (f.value == 0 && v != 0) || (rest == 0 && v != 0) {
			continue
		}
		dst = appendName(dst, start, f.name)
		rest &^= f.value
		if f.value == v {
			break
		}
	}
	return dst
}

// appendEnum appends the name of v; aliases are joined by "|", as in
// AF_LOCAL|AF_UNIX.
func (t flagTable) appendEnum(dst []byte, v uint32) []byte {
	start := len(dst)
	for _, f := range t {
		if f.value == v {
			dst = appendName(dst, start, f.name)
		}
	}
	return dst
}

func appendName(dst []byte, start int, name string) []byte {
	if len(dst) > start {
		dst = append(dst, '|')
	}
	return append(dst, name...)
}
