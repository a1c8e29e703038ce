package action

import (
	"os"
	"strings"
)

// Applies returns a *SkipError if the action cannot run in env. It prepares
// nothing.
func (a *Action) Applies(env Env) error {
	switch a.Needs.Place {
	case Cluster:
		if env.Kubernetes == nil {
			return skip("needs a Kubernetes cluster and its audit log")
		}
	case Host:
		if env.InContainer {
			return skip("only applicable to hosts")
		}
	case Container:
		if !env.InContainer {
			return skip("only applicable to containers")
		}
	case Privileged:
		if !env.InContainer {
			return skip("only applicable to containers")
		}
		if !env.Privileged {
			return skip("only applicable to privileged containers of a real container runtime")
		}
	}
	if a.Needs.Root && os.Geteuid() != 0 {
		return skip("needs root")
	}
	if a.Needs.Network && !env.PrivateNet && !env.Egress {
		return skip("would reach addresses outside this host: needs the sandbox or --allow-egress")
	}
	if a.Needs.Inbound && !env.PrivateNet {
		return skip("listens at an address that only the sandbox's network has")
	}
	for _, path := range a.Touches {
		if top := topDirectory(path); env.HostRoot && !isDirectory(top) {
			return skip("there is no " + top + " here, and the sandbox cannot make one without changing the host")
		}
	}
	return nil
}

// topDirectory is the directory of an absolute path that is in the root directory.
func topDirectory(path string) string {
	first, _, _ := strings.Cut(path[1:], "/")
	return "/" + first
}

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
