// Package probe is the kernel side of the sensor: eBPF programs that turn
// syscalls and the life of processes into events, and the loader that attaches
// them, configures what they send and counts what they lost.
//
//	sys_exit ──table of wanted syscalls──> program of the family ──> ring
//	sched_process_{exec,fork,exit} ─────────────────────────────────> ring
//	iter/task ──────────────────────────────────────────────────────> Snapshot
//
// Events have the form that package event describes; package ring takes them
// out of the kernel. The programs are C (directory bpf), whose files go generate
// compiles apart and links, with clang and llvm-link 19; their objects, one for
// each generation of kernels, are committed.
package probe

//go:generate go tool bpf2go -tags linux -target amd64,arm64 -cc bpf/compile -strip llvm-strip-19 -no-global-types direct bpf/probe.c -- -mcpu=v3 -Wall -Wextra -Werror -std=gnu23
//go:generate go tool bpf2go -tags linux -target amd64,arm64 -cc bpf/compile -strip llvm-strip-19 -no-global-types legacy bpf/probe.c -- -mcpu=v3 -Wall -Wextra -Werror -std=gnu23 -DLEGACY
//go:generate go tool bpf2go -tags linux -target amd64,arm64 -cc bpf/compile -strip llvm-strip-19 -no-global-types oldest bpf/probe.c -- -mcpu=v3 -Wall -Wextra -Werror -std=gnu23 -DLEGACY -DNO_GLOBAL_FUNCTIONS
