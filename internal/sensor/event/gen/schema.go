package main

import (
	"log"
	"os"
	"slices"
	"strings"
)

// schema is what schema.txt says; lists keep its order, which is the numbering.
type schema struct {
	kinds     []kind
	causes    []word
	drops     []word // categories of lost events
	families  []word
	openFlags []word
	facts     []word
	sockFacts []word
}

// word is a named line: its first word, and the rest.
type word struct{ name, rest string }

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
	var s schema
	lists := map[string]*[]word{
		"cause:": &s.causes, "drops:": &s.drops, "family:": &s.families, "openflag:": &s.openFlags, "fact:": &s.facts, "sock:": &s.sockFacts,
	}
	for _, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		if len(f) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if list := lists[f[0]]; list != nil {
			*list = append(*list, word{f[1], strings.Join(f[2:], " ")})
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

// check refuses kinds that nobody serves, or two families do, and words for
// kinds that do not exist.
func (s schema) check() {
	var names, served, lost []string
	for _, k := range s.kinds {
		names = append(names, k.name)
		if k.origin == "syscall" && s.familyOf(k.name) < 0 {
			log.Fatalf("schema.txt: no family serves %s", k.name)
		}
	}
	for _, f := range s.families {
		served = append(served, strings.Fields(f.rest)...)
	}
	for _, d := range s.drops {
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
func (s schema) familyOf(kind string) int { return indexOf(s.families, kind) }

// dropsOf is the category in which lost events of a kind are counted: the last
// one unless a line says otherwise.
func (s schema) dropsOf(kind string) int {
	if i := indexOf(s.drops, kind); i >= 0 {
		return i
	}
	return len(s.drops) - 1
}

func lookup(m map[string]string, key string) string {
	v, ok := m[key]
	if !ok {
		log.Fatalf("schema.txt: unknown word %q", key)
	}
	return v
}
