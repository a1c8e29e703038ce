// Package filter is the condition language of rules: it parses a condition to
// a syntax tree, decides checks that the kind of an event or the facts about a
// process already settle, and compiles the rest to closures.
//
//	text -Parse-> Node -Widen, Resolve-> Node -Specialise, Project-> Node -Compile-> Predicate
//
// Every step but the last is pure and returns a new tree that shares unchanged
// nodes; trees are never modified after Resolve and may be shared. A Predicate
// reads a field.Context, allocates nothing and belongs, with all others of its
// Compiler, to one goroutine.
package filter
