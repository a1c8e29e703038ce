package action

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// replayAliases are syscalls that another stands in for: a child that shares
// the memory of a Go program cannot be.
var replayAliases = map[string]string{"vfork": "clone", "clone3": "clone", "fork": "clone", "execveat": "execve"}

// replaysHere are the calls that only this architecture has.
var replaysHere = map[string]replay{
	"open":         {nr: unix.SYS_OPEN, args: []word{existing, number(unix.O_RDONLY | unix.O_CLOEXEC), zero}, fails: []word{missing, zero, zero}, besides: closes, after: closeResult},
	"stat":         {nr: unix.SYS_STAT, args: []word{existing, toMemory}, fails: []word{missing, toMemory}},
	"lstat":        {nr: unix.SYS_LSTAT, args: []word{existing, toMemory}, fails: []word{missing, toMemory}},
	"access":       {nr: unix.SYS_ACCESS, args: []word{existing, zero}, fails: []word{missing, zero}},
	"readlink":     {nr: unix.SYS_READLINK, args: []word{symlink, toMemory, size}, fails: []word{missing, toMemory, size}},
	"unlink":       {nr: unix.SYS_UNLINK, fails: []word{missing}, besides: map[string]int{"mknodat": 1}, run: makesAndRemoves(makeFile, unlink)},
	"rename":       {nr: unix.SYS_RENAME, args: []word{existing, existing}, fails: []word{missing, missing}},
	"getdents":     {nr: unix.SYS_GETDENTS, args: []word{directory, toMemory, size}, fails: []word{noFD, toMemory, size}},
	"dup2":         {nr: unix.SYS_DUP2, args: []word{device("/dev/null"), reserved}, fails: []word{noFD, reserved}},
	"pipe":         {nr: unix.SYS_PIPE, fails: []word{number(8)}, besides: map[string]int{"close": 2}, run: pairs(unix.SYS_PIPE, [3]uintptr{})},
	"poll":         {nr: unix.SYS_POLL, args: []word{zero, zero, zero}, fails: []word{number(8), number(1), zero}},
	"select":       {nr: unix.SYS_SELECT, args: []word{zero, zero, zero, zero, fromMemory}, fails: []word{number(-1), zero, zero, zero, fromMemory}},
	"epoll_wait":   {nr: unix.SYS_EPOLL_WAIT, args: []word{epoll, toMemory, number(1), zero}, fails: []word{noFD, toMemory, number(1), zero}},
	"epoll_create": {nr: unix.SYS_EPOLL_CREATE, args: []word{number(1)}, fails: []word{number(-1)}, besides: closes, after: closeResult},
	"arch_prctl":   {nr: unix.SYS_ARCH_PRCTL, args: []word{number(0x1003 /* ARCH_GET_FS */), toMemory}, fails: []word{number(0), zero}},
	"getpgrp":      {nr: unix.SYS_GETPGRP},
	"time":         {nr: unix.SYS_TIME, args: []word{zero}, fails: []word{number(8)}},
}

func unlink(path cpath) error {
	_, _, errno := unix.RawSyscall(unix.SYS_UNLINK, uintptr(unsafe.Pointer(path)), 0, 0)
	return check(errno)
}
