package action

import (
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/generator/child"

	"github.com/peregrine-sec/peregrine/internal/generator/artifact"
)

// program is this binary under another name.
type program struct {
	name string     // of the process, and of the file
	path string     // "" stands for name in the scratch directory
	args []string   // after argv[0]
	argv string     // argv[0], name if ""
	env  []string   // besides the task
	task child.Task // "" for child.Exit
	// nobody runs it as the user nobody, without capabilities.
	nobody bool
}

// nobody is the user of children that must not be root: a system user on
// every distribution, and the one whose setuid to itself no rule minds.
const nobody = 65534

// spawner starts a program again and again.
type spawner struct {
	path string
	argv []string
	attr syscall.ProcAttr
}

// program makes the file and everything else that starting it takes.
func (p *prep) program(g program) (*spawner, error) {
	if err := p.dir(p.Scratch); err != nil {
		return nil, err // it is the program's current directory
	}
	if g.path == "" {
		var err error
		if g.path, err = p.inScratch(g.name); err != nil {
			return nil, err
		}
	}
	if !exists(g.path) {
		// The kernel names a process after the executed path, not after the
		// link's target (fs/exec.c, bprm->filename).
		link := artifact.Artifact{Path: g.path, Kind: artifact.Link, Content: p.Exe}
		if err := p.make(link, func() error { return os.Symlink(p.Exe, g.path) }); err != nil {
			return nil, err
		}
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	p.undo(null.Close)
	if g.task == "" {
		g.task = child.Exit()
	}
	if g.argv == "" {
		g.argv = g.name
	}
	s := &spawner{path: g.path, argv: append([]string{g.argv}, g.args...)}
	s.attr = syscall.ProcAttr{
		Dir:   p.Scratch,
		Env:   append(g.env, g.task.Env()),
		Files: []uintptr{null.Fd(), null.Fd(), null.Fd()},
		Sys:   &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL},
	}
	if g.nobody {
		s.attr.Sys.Credential = &syscall.Credential{Uid: nobody, Gid: nobody, NoSetGroups: true}
	}
	return s, nil
}

// start is fork and exec.
func (s *spawner) start() (pid int, err error) { return syscall.ForkExec(s.path, s.argv, &s.attr) }

// run starts the program and waits for its end; its exit status is an errno.
func (s *spawner) run() error {
	pid, err := s.start()
	if err != nil {
		return err
	}
	return reap(pid)
}

// errKilled is for children that did not end by themselves.
var errKilled = errors.New("child was killed")

func reap(pid int) error {
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			return err
		case status.Stopped():
			if err := goOn(pid, status.StopSignal()); err != nil {
				return err
			}
			continue
		case !status.Exited():
			return errKilled
		}
		return check(syscall.Errno(status.ExitStatus()))
	}
}

// goOn lets a child go on that is traced, and stopped by a signal: that of its
// exec, or that by which Go's runtime preempts.
func goOn(pid int, by syscall.Signal) error {
	if by == syscall.SIGTRAP {
		by = 0
	}
	err := syscall.PtraceCont(pid, int(by))
	if err == syscall.ESRCH { // killed meanwhile
		return nil
	}
	return err
}

// spawns is the prepare function of actions whose rule matches only the start
// of a process.
func spawns(g program) func(*prep) (func() error, error) {
	return func(p *prep) (func() error, error) {
		s, err := p.program(g)
		if err != nil {
			return nil, err
		}
		return s.run, nil
	}
}

// companion starts a program that lives as long as the action is prepared.
func (p *prep) companion(g program, stdin, stdout *os.File) (pid int, err error) {
	s, err := p.program(g)
	if err != nil {
		return 0, err
	}
	if stdin != nil {
		s.attr.Files[0] = stdin.Fd()
	}
	if stdout != nil {
		s.attr.Files[1] = stdout.Fd()
	}
	if pid, err = s.start(); err != nil {
		return 0, err
	}
	p.undo(func() error {
		err := unix.Kill(pid, unix.SIGKILL)
		if rerr := reap(pid); rerr != errKilled {
			err = errors.Join(err, rerr)
		}
		return err
	})
	return pid, nil
}

// CopyProgram writes a program to a file: one that exists, unless flags create it.
func CopyProgram(from, to string, flags int) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|flags, 0o755)
	if err != nil {
		return errors.Join(err, in.Close())
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, in.Close(), out.Close())
}
