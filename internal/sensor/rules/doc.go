// Package rules loads rules files: lists, macros, rules, exceptions, and
// additions and overrides by later files.
//
//	files -read-> collection (definitions, merged by name) -compile-> Set, and
//	a Report of every error and warning, with its code, place and source
//
// It is pure: it gets the contents of files and gives values, and prints only
// to the io.Writer that it is handed. A Set is not changed after Load but by
// Select, and may be shared.
package rules
