package action

import "github.com/peregrine-sec/peregrine/internal/generator/child"

var javaProcessClassFileDownload = Action{
	Name:    "syscall.JavaProcessClassFileDownload",
	Summary: "a process called java receives the start of a class file",
	Rule:    "Java Process Class File Download", RuleSet: Sandbox, RuleOff: true,
	Tags:   []string{"process", "mitre_initial_access", "T1190"},
	Spawns: []string{"java"},
	Needs:  Needs{Place: Anywhere},
	Cost:   Process, Bench: BenchSlow, BenchWhy: "a process for each",
	prepare: spawns(program{name: "java", task: child.Receive([]byte{0xca, 0xfe, 0xba, 0xbe})}),
}
