package generator

import "golang.org/x/sys/unix"

// This architecture has only the newer one.
const sysEpollWait = unix.SYS_EPOLL_PWAIT
