package action

import "os"

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
	return nil
}
