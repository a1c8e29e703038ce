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
	"slices"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/image"
)

// Engine is one of Names.
type Engine string

// The engines.
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

// answerTime bounds how long an engine has to say that it is there.
const answerTime = 10 * time.Second

// Find returns the engine that is asked for, or the first that answers.
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
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, e.program(), args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", e.program(), strings.Join(args, " "), err, strings.TrimSpace(out.String()))
	}
	return nil
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

// capabilities are what the sandbox and the actions need of a container that is
// not privileged.
var capabilities = []string{"SYS_ADMIN", "NET_ADMIN", "NET_RAW", "SYS_PTRACE"}

// Run is the command that runs a container in the foreground and removes it.
// The program is mounted from this host, so that any image will do. Pids are
// the host's: those that alerts have.
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
		args = append(args, "--with-ns", "pid:/proc/1/ns/pid", "--mount", "type=bind,src="+exe+",dst="+Program+",options=rbind:ro")
		if s.Network {
			args = append(args, "--net-host")
		}
		args = append(args, s.Image, e.id(s.Name), Program)
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

// id is what the engine knows a container by. Sensors know containerd's by 64
// hexadecimal digits, which CRI and Docker give them.
func (e Engine) id(name string) string {
	if e == Containerd {
		return fmt.Sprintf("%x", sha256.Sum256([]byte(name)))
	}
	return name
}

// Remove ends and removes a container; one that is not there is none to remove.
func (e Engine) Remove(ctx context.Context, name string) (was bool, err error) {
	name = e.id(name)
	if e == Containerd {
		if e.do(ctx, "containers", "info", name) != nil {
			return false, nil
		}
		_ = e.do(ctx, "tasks", "kill", "--signal", "SIGKILL", name) // it may have ended
		_ = e.do(ctx, "tasks", "delete", "--force", name)
		return true, e.do(ctx, "containers", "delete", name)
	}
	if e.do(ctx, "container", "inspect", name) != nil {
		return false, nil
	}
	return true, e.do(ctx, "rm", "--force", name)
}

// RemoveImage removes an image; one that is not there is none to remove.
func (e Engine) RemoveImage(ctx context.Context, tag string) (was bool, err error) {
	if e == Containerd {
		// Its check succeeds for an image that it does not have.
		list := exec.CommandContext(ctx, e.program(), "images", "list", "--quiet", "name=="+tag)
		if out, err := list.Output(); err != nil || len(out) == 0 {
			return false, err
		}
		return true, e.do(ctx, "images", "rm", "--sync", tag)
	}
	if e.do(ctx, "image", "inspect", tag) != nil {
		return false, nil
	}
	return true, e.do(ctx, "rmi", "--force", tag)
}

// Helper makes the engine load an image that needs no registry: this program,
// files that actions read, and the directories that are to be there.
func (e Engine) Helper(ctx context.Context, tag string, directories []string) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "peregrine-helper-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	empty, archive := filepath.Join(dir, "empty"), filepath.Join(dir, "helper.tar")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		return err
	}
	// No hidden files: rules look for those.
	files := map[string]string{Program: exe, "/etc/shadow": empty, "/etc/passwd": empty}
	for _, d := range append([]string{"/proc", "/sys", "/dev", "/tmp"}, directories...) {
		files[filepath.Join(d, "peregrine-keeps-this-directory")] = empty
	}
	err = write(archive, image.Image{Tag: tag, Files: files, Entrypoint: []string{Program}})
	if err != nil {
		return err
	}
	if e == Containerd {
		return e.do(ctx, "images", "import", archive)
	}
	return e.do(ctx, "load", "--input", archive)
}

func write(path string, content interface{ Write(io.Writer) error }) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(content.Write(f), f.Close())
}
