// Command schemagen generates from schema.txt the Go tables of package event, the C
// header of the probe and the numbers of its loader. It also generates the table
// of syscalls from the numbers in golang.org/x/sys. Run by go generate in internal/sensor/event.
package main

import (
	"go/format"
	"log"
	"os"
	"os/exec"
	"strings"
)

func main() {
	log.SetFlags(0)
	s := readSchema("schema.txt")
	writeGo("kinds_gen.go", goSchema(s))
	writeFile("../probe/bpf/schema.h", cSchema(s))
	writeGo("../probe/numbers_gen.go", goProbe(s))
	writeGo("syscalls_gen.go", goSyscalls(s.kinds))
}

// camel makes a Go name of a word of the schema.
func camel(s string) string {
	var b strings.Builder
	for _, part := range strings.Split(s, "_") {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

func output(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		log.Fatalf("%s: %v", name, err)
	}
	return string(out)
}

func writeGo(path string, src []byte) {
	out, err := format.Source(src)
	if err != nil {
		_, _ = os.Stdout.Write(src)
		log.Fatal(err)
	}
	writeFile(path, out)
}

func writeFile(path string, data []byte) {
	if err := os.WriteFile(path, data, 0o644); err != nil {
		log.Fatal(err)
	}
}
