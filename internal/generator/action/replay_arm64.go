package action

// replayAliases are syscalls that another stands in for: those that this
// architecture does not have, and a child that shares the memory of a Go
// program, which cannot be.
var replayAliases = map[string]string{
	"vfork": "clone", "clone3": "clone", "fork": "clone", "execveat": "execve", "fstatat": "newfstatat",
	"open": "openat", "stat": "newfstatat", "lstat": "newfstatat", "access": "faccessat", "readlink": "readlinkat", "unlink": "unlinkat",
	"rename": "renameat", "getdents": "getdents64", "dup2": "dup3", "pipe": "pipe2", "poll": "ppoll", "select": "pselect6",
	"epoll_wait": "epoll_pwait", "epoll_create": "epoll_create1", "getpgrp": "getpgid", "time": "gettimeofday",
}

// replaysHere are the calls that only this architecture has.
var replaysHere = map[string]replay{}
