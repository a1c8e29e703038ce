// Package engine runs this program in real containers, by the command line of
// a container engine of this host: docker, podman, or ctr, which is
// containerd's. They are found as by hand: in PATH, with DOCKER_HOST,
// CONTAINERD_ADDRESS and the like.
package engine

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/image"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// Engine is one of Names.
type Engine string

const (
	Docker     Engine = "docker"
	Podman     Engine = "podman"
	Containerd Engine = "containerd"
)

// Names are the engines in the order in which they are looked for.
var Names = []string{string(Docker), string(Podman), string(Containerd)}

// program is the engine's command line.
func (e Engine) program() string {
	if e == Containerd {
		return "ctr"
	}
	return string(e)
}

// NeedsClient says that the engine leaves half of a container, which it does not
// list, if its command line is killed while it makes one: podman makes it itself,
// and containerd drops the requests of a client that has gone, and forgets the
// shim that it has started for one.
func (e Engine) NeedsClient() bool { return e == Podman || e == Containerd }

// answerTime bounds how long an engine has to say that it is there.
const answerTime = 10 * time.Second

// Find returns the named engine, or the first that answers.
func Find(ctx context.Context, name string) (Engine, error) {
	candidates := Names
	if name != "" {
		if !slices.Contains(Names, name) {
			return "", fmt.Errorf("container engine %q: expected %s", name, strings.Join(Names, ", "))
		}
		candidates = []string{name}
	}
	var errs []error
	for _, c := range candidates {
		asked, cancel := context.WithTimeout(ctx, answerTime)
		err := Engine(c).do(asked, "version")
		cancel()
		if err == nil {
			return Engine(c), nil
		}
		errs = append(errs, err)
	}
	return "", fmt.Errorf("no container engine answers: %w", errors.Join(errs...))
}

// do runs a command of the engine to its end.
func (e Engine) do(ctx context.Context, args ...string) error {
	_, err := e.ask(ctx, nil, args...)
	return err
}

// ask returns the output of a command of the engine, given this input.
func (e Engine) ask(ctx context.Context, in io.Reader, args ...string) (string, error) {
	var out, problems bytes.Buffer
	cmd := exec.CommandContext(ctx, e.program(), args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &out, &problems
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", e.program(), strings.Join(args, " "), err, strings.TrimSpace(out.String()+problems.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

// Program is where this program is in a container.
const Program = "/peregrine-generator"

// Spec is a container that runs this program.
type Spec struct {
	Name       string // unique on the host
	Image      string
	Privileged bool
	Network    bool     // the engine's usual network; else one without a way out
	Env        []string // NAME=VALUE
	Args       []string
}

// capabilities are those that the sandbox and the actions need in an
// unprivileged container.
var capabilities = []string{"SYS_ADMIN", "NET_ADMIN", "NET_RAW", "SYS_PTRACE"}

// Run is the command that runs a container in the foreground and removes it.
// The program is mounted from this host, so that any image will do. Pids are
// the host's: those that alerts have. With containerd, it is runc that opens the
// pid namespace, its own: root needs not be able to look at the first process.
func (e Engine) Run(s Spec) (*exec.Cmd, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"run", "--rm"}
	if s.Privileged {
		args = append(args, "--privileged")
	}
	for _, c := range capabilities {
		if e == Containerd {
			c = "CAP_" + c
		}
		args = append(args, "--cap-add", c)
	}
	for _, v := range s.Env {
		args = append(args, "--env", v)
	}
	if e == Containerd {
		args = append(args, "--with-ns", "pid:/proc/self/ns/pid", "--mount", "type=bind,src="+exe+",dst="+Program+",options=rbind:ro")
		if s.Network {
			args = append(args, "--net-host")
		}
		args = append(args, s.Image, e.ID(s.Name), Program)
	} else {
		args = append(args, "--interactive", "--pid", "host", "--name", s.Name, "--entrypoint", Program, "--volume", exe+":"+Program+":ro",
			"--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined")
		if !s.Network {
			args = append(args, "--network", "none")
		}
		args = append(args, s.Image)
	}
	return exec.Command(e.program(), append(args, s.Args...)...), nil
}

// ID is the engine's name of a container. Sensors know containerd's by 64
// hexadecimal digits, which CRI and Docker give them.
func (e Engine) ID(name string) string {
	if e == Containerd {
		return fmt.Sprintf("%x", sha256.Sum256([]byte(name)))
	}
	return name
}

// Runs says whether a container is made altogether, and runs. Only containerd is
// asked: when its client has lost the process that started it, the client may go
// on as long as the container.
func (e Engine) Runs(ctx context.Context, name string) bool {
	if e != Containerd {
		return false
	}
	tasks, err := e.ask(ctx, nil, "tasks", "list")
	return err == nil && regexp.MustCompile(`(?m)^`+e.ID(name)+`\s+[0-9]+\s+RUNNING`).MatchString(tasks)
}

// Remove ends and removes a container, and says whether it was there. It is an
// error if the engine cannot be asked: only a list that succeeds tells that from
// a container that is gone.
func (e Engine) Remove(ctx context.Context, name string) (was bool, err error) {
	name = e.ID(name)
	switch e {
	case Containerd:
		was, err = e.clear(ctx, []string{"containers", "list", "--quiet", "id==" + name},
			[]string{"tasks", "kill", "--signal", "SIGKILL", name}, []string{"tasks", "delete", "--force", name}, []string{"containers", "delete", name})
		if err == nil {
			err = e.sweep(ctx, name)
		}
		return was, err
	case Podman: // has an entry in its storage before one in its list
		return e.clear(ctx, []string{"container", "ls", "--all", "--external", "--quiet", "--filter", "name=^" + regexp.QuoteMeta(name) + "$"}, []string{"rm", "--force", name})
	}
	return e.clear(ctx, []string{"container", "ls", "--all", "--quiet", "--filter", "name=^" + regexp.QuoteMeta(name) + "$"}, []string{"rm", "--force", name})
}

// RemoveImage removes an image, as Remove does a container.
func (e Engine) RemoveImage(ctx context.Context, tag string) (was bool, err error) {
	if e == Containerd {
		return e.clear(ctx, []string{"images", "list", "--quiet", "name==" + tag}, []string{"images", "rm", "--sync", tag})
	}
	return e.clear(ctx, []string{"image", "ls", "--quiet", "--filter", "reference=" + tag}, []string{"rmi", "--force", tag})
}

// An engine refuses to remove an object that it is removing itself, such as a
// container whose process has ended: clear tries attempts times, a pause apart.
const (
	attempts = 20
	pause    = 100 * time.Millisecond
)

// clear removes the listed objects, by commands of which the last must succeed.
func (e Engine) clear(ctx context.Context, list []string, remove ...[]string) (was bool, err error) {
	for range attempts {
		found, lerr := e.ask(ctx, nil, list...)
		if lerr != nil || found == "" {
			return was, lerr
		}
		was = true
		for _, command := range remove {
			err = e.do(ctx, command...)
		}
		if err == nil || wait.For(ctx, pause) != nil {
			break
		}
	}
	return was, err
}

// sweep removes the objects that a killed ctr leaves besides the container's
// entry: the snapshot, which is made first, and the pipes of its program.
func (e Engine) sweep(ctx context.Context, id string) error {
	_ = e.do(ctx, "snapshots", "rm", id) // it has gone with the container, or was never made
	pipes, err := filepath.Glob("/run/containerd/fifo/*/" + id + "-std*")
	for _, p := range pipes {
		err = errors.Join(err, os.RemoveAll(filepath.Dir(p)))
	}
	return err
}

// passwd are the users that actions are done by: rules know them by name.
const passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"

// Helper makes the engine load an image that needs no registry: this program,
// files that actions read, and the required directories. It goes through a
// pipe, so that a kill leaves no archive on the host.
func (e Engine) Helper(ctx context.Context, tag string, directories []string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	texts := map[string]string{"/etc/shadow": "", "/etc/passwd": passwd}
	for _, d := range append([]string{"/proc", "/sys", "/dev", "/tmp"}, directories...) {
		texts[filepath.Join(d, "peregrine-keeps-this-directory")] = "" // no hidden files: rules look for those
	}
	var archive bytes.Buffer
	img := image.Image{Tag: tag, Files: map[string]string{Program: exe}, Texts: texts, Entrypoint: []string{Program}}
	if err := img.Write(&archive); err != nil {
		return err
	}
	load := []string{"load"}
	if e == Containerd {
		load = []string{"images", "import", "-"}
	}
	_, err = e.ask(ctx, &archive, load...)
	return err
}
