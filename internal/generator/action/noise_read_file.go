package action

import "golang.org/x/sys/unix"

var noiseReadFile = Action{
	Name:    "noise.ReadFile",
	Summary: "open a harmless file, read it and close it",
	RuleSet: NoRule,
	Needs:   Needs{Place: Anywhere},
	Cost:    Fast, Bench: BenchYes, Default: true, Syscalls: 3,
	prepare: func(p *prep) (func() error, error) {
		path, err := harmlessFile(p)
		if err != nil {
			return nil, err
		}
		buffer := make([]byte, 4096)
		return func() error { return throughFile(path, unix.O_RDONLY, read, buffer) }, nil
	},
}

// throughFile opens a file, reads or writes a buffer, and closes the file.
func throughFile(path cpath, flags int, transfer func(int, []byte) (int, error), buffer []byte) error {
	fd, err := openat(path, flags, 0)
	if err != nil {
		return err
	}
	if _, err = transfer(fd, buffer); err != nil {
		_ = closeFD(fd)
		return err
	}
	return closeFD(fd)
}
