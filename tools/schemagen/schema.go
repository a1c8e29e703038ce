package main

import (
	"log"
	"os"
	"slices"
	"strings"
)

// schema is the content of schema.txt. Lists keep its order, which is the
// numbering.
type schema struct {
	kinds []kind
	words map[string][]word // by the key of their lines, without the colon
}

// keys of the lines that are words.
var keys = []string{
	"cause", "drops", "slots", "family", "openflag", "fact", "sock", "call",
	"type", "header", "fdtype", "fileflag", "exeflag", "hook", "fate", "end", "number", "mark",
}

// word is a line with a key: its first word, and the rest.
type word struct{ name, rest string }

// cut splits off the first word of the rest: the name in Go.
func (w word) cut() (first, rest string) {
	first, rest, _ = strings.Cut(w.rest, " ")
	return first, rest
}

// upper is the word as part of a name in C.
func (w word) upper() string { return strings.ToUpper(w.name) }

type kind struct {
	name, category, origin string
	traits                 []string
	params, extras         []param
}

type param struct{ name, typ, table string }

func readSchema(path string) schema {
	text, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	s := schema{words: map[string][]word{}}
	for _, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if key, ok := strings.CutSuffix(f[0], ":"); ok {
			if !slices.Contains(keys, key) {
				log.Fatalf("schema.txt: unknown key %s", f[0])
			}
			s.words[key] = append(s.words[key], word{f[1], strings.Join(f[2:], " ")})
			continue
		}
		s.kinds = append(s.kinds, readKind(f))
	}
	s.check()
	return s
}

func readKind(f []string) kind {
	k := kind{name: f[0], category: f[1], origin: f[2]}
	if f[3] != "-" {
		k.traits = strings.Split(f[3], ",")
	}
	params := &k.params
	for _, p := range f[4:] {
		if p == "|" {
			params = &k.extras
			continue
		}
		name, typ, _ := strings.Cut(p, ":")
		typ, table, _ := strings.Cut(strings.TrimSuffix(typ, ">"), "<")
		*params = append(*params, param{name, typ, table})
	}
	return k
}

// check refuses kinds that no family serves, or two do, and words for kinds
// that do not exist.
func (s schema) check() {
	var names, served, lost []string
	for _, k := range s.kinds {
		names = append(names, k.name)
		if k.origin == "syscall" && s.familyOf(k.name) < 0 {
			log.Fatalf("schema.txt: no family serves %s", k.name)
		}
	}
	for _, f := range s.words["family"] {
		served = append(served, strings.Fields(f.rest)...)
	}
	for _, d := range s.words["drops"] {
		lost = append(lost, strings.Fields(d.rest)...)
	}
	for _, list := range [][]string{served, lost} {
		slices.Sort(list)
		for i, name := range list {
			if !slices.Contains(names, name) {
				log.Fatalf("schema.txt: %q is not a kind of event", name)
			}
			if i > 0 && list[i-1] == name {
				log.Fatalf("schema.txt: %s is in two lists", name)
			}
		}
	}
}

func indexOf(list []word, kind string) int {
	return slices.IndexFunc(list, func(w word) bool { return slices.Contains(strings.Fields(w.rest), kind) })
}

// familyOf is the index of the family that serves a kind, -1 if none does.
func (s schema) familyOf(kind string) int { return indexOf(s.words["family"], kind) }

// dropsOf is the category in which lost events of a kind are counted: the last
// one unless a line says otherwise.
func (s schema) dropsOf(kind string) int {
	if i := indexOf(s.words["drops"], kind); i >= 0 {
		return i
	}
	return len(s.words["drops"]) - 1
}

// typeIndex is the place of a parameter's type among the type lines.
func (s schema) typeIndex(typ string) int {
	i := slices.IndexFunc(s.words["type"], func(w word) bool { return w.name == typ })
	if i < 0 {
		log.Fatalf("schema.txt: unknown type %q", typ)
	}
	return i
}

// goType is the name of a parameter's type in Go.
func (s schema) goType(typ string) string {
	name, _ := s.words["type"][s.typeIndex(typ)].cut()
	return name
}

// variable says whether values of a type travel in the event's tail.
func (s schema) variable(typ string) bool { return s.typeIndex(typ) >= s.typeIndex("string") }

func lookup(m map[string]string, key string) string {
	v, ok := m[key]
	if !ok {
		log.Fatalf("schema.txt: unknown word %q", key)
	}
	return v
}
