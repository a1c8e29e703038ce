package action

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const fionread = 0x541b // include/uapi/asm-generic/ioctls.h

var closes = map[string]int{"close": 1}

// fileReplays are calls about files, on /dev/zero, /dev/null, a file in memory,
// and a harmless one in the scratch directory.
var fileReplays = map[string]replay{
	"openat":          {nr: unix.SYS_OPENAT, args: []word{here, existing, number(unix.O_RDONLY | unix.O_CLOEXEC), zero}, fails: []word{here, missing, zero, zero}, besides: closes, after: closeResult},
	"close":           {nr: unix.SYS_CLOSE, fails: []word{noFD}, besides: map[string]int{"fcntl": 1}, run: closesCopy},
	"read":            {nr: unix.SYS_READ, args: []word{device("/dev/zero"), toMemory, size}, fails: []word{emptyPipe, toMemory, size}},
	"pread64":         {nr: unix.SYS_PREAD64, args: []word{device("/dev/zero"), toMemory, size, zero}, fails: []word{noFD, toMemory, size, zero}},
	"write":           {nr: unix.SYS_WRITE, args: []word{device("/dev/null"), fromMemory, size}, fails: []word{noFD, fromMemory, size}},
	"pwrite64":        {nr: unix.SYS_PWRITE64, args: []word{device("/dev/null"), fromMemory, size, zero}, fails: []word{noFD, fromMemory, size, zero}},
	"readv":           {nr: unix.SYS_READV, args: []word{device("/dev/zero"), vector(&replayMemory[0]), number(1)}, fails: []word{emptyPipe, vector(&replayMemory[0]), number(1)}},
	"writev":          {nr: unix.SYS_WRITEV, args: []word{device("/dev/null"), vector(replayZeros), number(1)}, fails: []word{noFD, vector(replayZeros), number(1)}},
	"preadv":          {nr: unix.SYS_PREADV, args: []word{device("/dev/zero"), vector(&replayMemory[0]), number(1), zero}, fails: []word{noFD, zero, zero}},
	"pwritev":         {nr: unix.SYS_PWRITEV, args: []word{device("/dev/null"), vector(replayZeros), number(1), zero}, fails: []word{noFD, zero, zero}},
	"fstat":           {nr: unix.SYS_FSTAT, args: []word{device("/dev/null"), toMemory}, fails: []word{noFD, toMemory}},
	"newfstatat":      {nr: sysFstatat, args: []word{here, existing, toMemory, zero}, fails: []word{here, missing, toMemory, zero}},
	"statx":           {nr: unix.SYS_STATX, args: []word{here, existing, zero, number(unix.STATX_BASIC_STATS), toMemory}, fails: []word{here, missing, zero, zero, toMemory}},
	"statfs":          {nr: unix.SYS_STATFS, args: []word{existing, toMemory}, fails: []word{missing, toMemory}},
	"fstatfs":         {nr: unix.SYS_FSTATFS, args: []word{device("/dev/null"), toMemory}, fails: []word{noFD, toMemory}},
	"faccessat":       {nr: unix.SYS_FACCESSAT, args: []word{here, existing, zero}, fails: []word{here, missing, zero}},
	"faccessat2":      {nr: unix.SYS_FACCESSAT2, args: []word{here, existing, zero, zero}, fails: []word{here, missing, zero, zero}},
	"readlinkat":      {nr: unix.SYS_READLINKAT, args: []word{here, symlink, toMemory, size}, fails: []word{here, missing, toMemory, size}},
	"getdents64":      {nr: unix.SYS_GETDENTS64, args: []word{directory, toMemory, number(len(replayMemory))}, fails: []word{noFD, toMemory, size}},
	"lseek":           {nr: unix.SYS_LSEEK, args: []word{memoryFile, zero, zero}, fails: []word{emptyPipe, zero, zero}},
	"fcntl":           {nr: unix.SYS_FCNTL, args: []word{device("/dev/null"), number(unix.F_GETFL), zero}, fails: []word{noFD, number(unix.F_GETFL), zero}},
	"flock":           {nr: unix.SYS_FLOCK, args: []word{memoryFile, number(unix.LOCK_UN)}, fails: []word{noFD, number(unix.LOCK_UN)}},
	"ftruncate":       {nr: unix.SYS_FTRUNCATE, args: []word{memoryFile, number(4096)}, fails: []word{noFD, zero}},
	"fallocate":       {nr: unix.SYS_FALLOCATE, args: []word{memoryFile, zero, zero, number(4096)}, fails: []word{noFD, zero, zero, zero}},
	"fsync":           {nr: unix.SYS_FSYNC, args: []word{memoryFile}, fails: []word{noFD}},
	"fdatasync":       {nr: unix.SYS_FDATASYNC, args: []word{memoryFile}, fails: []word{noFD}},
	"fadvise64":       {nr: unix.SYS_FADVISE64, args: []word{memoryFile, zero, zero, zero}, fails: []word{noFD, zero, zero, zero}},
	"ioctl":           {nr: unix.SYS_IOCTL, args: []word{emptyPipe, number(fionread), toMemory}, fails: []word{emptyPipe, number(unix.TCGETS), toMemory}},
	"dup":             {nr: unix.SYS_DUP, args: []word{device("/dev/null")}, fails: []word{noFD}, besides: closes, after: closeResult},
	"dup3":            {nr: unix.SYS_DUP3, args: []word{device("/dev/null"), reserved, number(unix.O_CLOEXEC)}, fails: []word{noFD, reserved, zero}},
	"pipe2":           {nr: unix.SYS_PIPE2, args: []word{zero, zero}, fails: []word{zero, number(-1)}, besides: map[string]int{"close": 2}, run: pairs(unix.SYS_PIPE2, [3]uintptr{unix.O_CLOEXEC})},
	"getcwd":          {nr: unix.SYS_GETCWD, args: []word{toMemory, number(len(replayMemory))}, fails: []word{toMemory, zero}},
	"umask":           {nr: unix.SYS_UMASK, args: []word{currentUmask}},
	"memfd_create":    {nr: unix.SYS_MEMFD_CREATE, args: []word{fromMemory, number(unix.MFD_CLOEXEC)}, fails: []word{zero, zero}, besides: closes, after: closeResult},
	"inotify_init1":   {nr: unix.SYS_INOTIFY_INIT1, args: []word{number(unix.IN_CLOEXEC)}, fails: []word{number(-1)}, besides: closes, after: closeResult},
	"fgetxattr":       {nr: unix.SYS_FGETXATTR, args: []word{udpSender, protocolName, toMemory, size}, fails: []word{noFD, zero, zero, zero}},
	"getxattr":        {nr: unix.SYS_GETXATTR, fails: []word{missing, zero, zero, zero}, neverSucceeds: true},
	"lgetxattr":       {nr: unix.SYS_LGETXATTR, fails: []word{missing, zero, zero, zero}, neverSucceeds: true},
	"utimensat":       {nr: unix.SYS_UTIMENSAT, args: []word{here, existing, zero, zero}, fails: []word{here, missing, zero, zero}},
	"fchmodat":        {nr: unix.SYS_FCHMODAT, args: []word{here, existing, number(0o644)}, fails: []word{here, missing, number(0o644)}},
	"renameat2":       {nr: unix.SYS_RENAMEAT2, args: []word{here, existing, here, existing, zero}, fails: []word{here, missing, here, missing, zero}},
	"renameat":        {nr: unix.SYS_RENAMEAT, args: []word{here, existing, here, existing}, fails: []word{here, missing, here, missing}},
	"unlinkat":        {nr: unix.SYS_UNLINKAT, fails: []word{directory, nowhereName, zero}, besides: map[string]int{"mknodat": 1}, run: removes(makesFile, 0)},
	"mkdirat":         {nr: unix.SYS_MKDIRAT, fails: []word{here, existing, zero}, besides: map[string]int{"unlinkat": 1}, run: removes(makesDirectory, unix.AT_REMOVEDIR)},
	"copy_file_range": {nr: unix.SYS_COPY_FILE_RANGE, args: []word{memoryFile, zero, memoryFile, zero, size, zero}, fails: []word{noFD, zero, noFD, zero, zero, zero}},
	"sendfile":        {nr: unix.SYS_SENDFILE, fails: []word{noFD, noFD, zero, zero}, run: sends},
}

// closesCopy closes a copy of a descriptor. fcntl makes it, since other calls
// that open close their descriptors themselves.
func closesCopy(p *prep) (func() error, error) {
	original, err := device("/dev/null")(p)
	return func() error {
		fd, _, errno := unix.RawSyscall(unix.SYS_FCNTL, original, unix.F_DUPFD_CLOEXEC, 0)
		if errno != 0 {
			return errno
		}
		return closeFD(int(fd))
	}, err
}

// protocolName is the extended attribute that every socket has, of any user:
// net/socket.c, sockfs_xattr_handler.
func protocolName(p *prep) (uintptr, error) { return p.held(c("system.sockprotoname")), nil }

// vector is an iovec of one part.
func vector(of *byte) word {
	v := &unix.Iovec{Base: of, Len: 64}
	return pointer(unsafe.Pointer(v))
}

func symlink(p *prep) (uintptr, error) {
	name, err := p.inScratch("link")
	if err == nil && !exists(name) {
		err = unix.Symlink("data", name)
		p.undo(func() error { return unix.Unlink(name) })
	}
	return p.held(c(name)), err
}

// sends sends the start of a file, again and again: the kernel writes back how
// far it came (sendfile(2)).
func sends(p *prep) (func() error, error) {
	out, err := device("/dev/null")(p)
	if err != nil {
		return nil, err
	}
	in, err := memoryFile(p)
	offset := new(int64)
	return func() error {
		*offset = 0
		_, _, errno := unix.RawSyscall6(unix.SYS_SENDFILE, out, in, uintptr(unsafe.Pointer(offset)), 64, 0, 0)
		return check(errno)
	}, err
}

// currentUmask is that of this process, so that a replay leaves it. The only
// call that tells it sets it (umask(2)).
func currentUmask(*prep) (uintptr, error) {
	mask := unix.Umask(0o077)
	unix.Umask(mask)
	return uintptr(mask), nil
}

// pairs is for calls that make two descriptors and write them to memory, which
// comes first for pipe2 and last for socketpair.
func pairs(nr uintptr, rest [3]uintptr) func(*prep) (func() error, error) {
	return func(*prep) (func() error, error) {
		made := new([2]int32)
		args := [4]uintptr{uintptr(unsafe.Pointer(made)), rest[0]}
		if nr == unix.SYS_SOCKETPAIR {
			args = [4]uintptr{rest[0], rest[1], rest[2], uintptr(unsafe.Pointer(made))}
		}
		return func() error {
			if _, _, errno := unix.RawSyscall6(nr, args[0], args[1], args[2], args[3], 0, 0); errno != 0 {
				return errno
			}
			_ = closeFD(int(made[0]))
			return closeFD(int(made[1]))
		}, nil
	}
}

// makesAndRemoves makes a file or a directory and removes it.
func makesAndRemoves(create, remove func(cpath) error) func(*prep) (func() error, error) {
	return func(p *prep) (func() error, error) {
		name, err := p.inScratch("made")
		if err != nil {
			return nil, err
		}
		path := c(name)
		return func() error {
			if err := create(path); err != nil {
				return err
			}
			return remove(path)
		}, nil
	}
}

func makeFile(path cpath) error { return mknodat(path, 0o644) }

// removes makes a file or a directory, and removes it by its name in a directory
// that is open: so trees are removed, which is what most calls of unlinkat do, and
// sensors need not follow such a name.
func removes(create func(dir uintptr, path, name cpath) error, flags uintptr) func(*prep) (func() error, error) {
	return func(p *prep) (func() error, error) {
		path, err := p.inScratch("made")
		if err != nil {
			return nil, err
		}
		dir, err := directory(p)
		name, full := c("made"), c(path)
		return func() error {
			if err := create(dir, full, name); err != nil {
				return err
			}
			_, _, errno := unix.RawSyscall(unix.SYS_UNLINKAT, dir, uintptr(unsafe.Pointer(name)), flags)
			return check(errno)
		}, err
	}
}

func makesFile(dir uintptr, _, name cpath) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_MKNODAT, dir, uintptr(unsafe.Pointer(name)), unix.S_IFREG|0o644, 0, 0, 0)
	return check(errno)
}

func makesDirectory(_ uintptr, path, _ cpath) error { return mkdirat(path, 0o755) }

// nowhereName is a name that no directory has.
func nowhereName(p *prep) (uintptr, error) { return p.held(c("missing")), nil }
