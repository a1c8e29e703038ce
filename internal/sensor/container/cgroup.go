package container

import "strings"

// Identity is the part of a container's identity that its cgroup path reveals.
type Identity struct {
	FullID string // "" for the host
	Type   string
}

// ID is the short form of the identity's id, as container.id shows it: the
// first 12 characters of a hexadecimal id, other names as they are.
func (i Identity) ID() string {
	if len(i.FullID) > shortLen && (isHex(i.FullID, fullLen) || isFargate(i.FullID)) {
		return i.FullID[:shortLen]
	}
	return i.FullID
}

const (
	fullLen  = 64 // hex digits in the id of an OCI runtime
	shortLen = 12
)

// identify finds the container in a list of cgroups as events carry it:
// "subsystem=path" entries, NUL-separated. The result is the zero Identity for
// a process of the host. The first entry that names a container decides; they
// do not contradict each other, but some hierarchies (cgroup v1) may not have
// been set up by the runtime and then say nothing. The strings of the result
// are parts of cgroups.
func identify(cgroups string) Identity {
	for cgroups != "" {
		entry, rest, _ := strings.Cut(cgroups, "\x00")
		cgroups = rest
		if i := strings.IndexByte(entry, '='); i >= 0 && strings.IndexByte(entry[:i], '/') < 0 {
			// "name=systemd=/path": the name of a v1 hierarchy has a '=' too.
			if j := strings.Index(entry, "=/"); j >= 0 {
				i = j
			}
			entry = entry[i+1:]
		}
		if id := fromPath(entry); id.FullID != "" {
			return id
		}
	}
	return Identity{}
}

// fromPath looks at the components of one path from the innermost outwards,
// so that a container in a container is the inner one, and a service of a
// container that runs systemd is still in its container.
func fromPath(path string) Identity {
	for path != "" && path != "/" {
		i := strings.LastIndexByte(path, '/')
		dir, base := "", path
		if i >= 0 {
			dir, base = path[:i], path[i+1:]
		}
		if id := fromComponent(dir, base); id.FullID != "" {
			return id
		}
		path = dir
	}
	return Identity{}
}

func fromComponent(dir, base string) Identity {
	switch {
	case base == "":
		return Identity{}
	case isHex(base, fullLen):
		return Identity{base, bareType(dir)}
	case isFargate(base) && strings.Contains(dir, "/ecs"):
		return Identity{base, Docker}
	}
	if id := fromScope(base); id.FullID != "" {
		return id
	}
	return fromName(dir, base)
}

// bareType is the type of a container whose component is its id alone; the
// runtime or the orchestrator chose the parent directory.
func bareType(dir string) string {
	parent := dir[strings.LastIndexByte(dir, '/')+1:]
	switch {
	case strings.HasPrefix(parent, "libpod") || strings.Contains(dir, "/libpod_parent"):
		return Podman
	case strings.HasPrefix(parent, "pod") || strings.Contains(dir, "/kubepods"):
		// The kubelet's cgroupfs driver does not say which runtime it is;
		// metadata will.
		return Containerd
	case parent == "default" || parent == "k8s.io" || parent == "moby" || parent == "buildkit":
		// containerd's cgroupfs path is /NAMESPACE/ID.
		return Containerd
	}
	return Docker
}

// scopes are the prefixes that runtimes put before a 64-digit id, in systemd
// scopes ("docker-ID.scope"), in runc's colon form ("x.slice:cri-containerd:ID")
// and as plain directories ("libpod-ID", "crio-ID").
var scopes = []struct{ prefix, typ string }{
	{"docker", Docker},
	{"cri-containerd", Containerd},
	{"containerd", Containerd},
	{"nerdctl", Containerd},
	{"crio", CRIO},
	{"libpod", Podman},
}

// fromScope knows PREFIX-ID[.scope] and ANYTHING:PREFIX:ID. The processes that
// watch a container ("crio-conmon-ID", "libpod-conmon-ID") are the host's.
func fromScope(base string) Identity {
	base = strings.TrimSuffix(base, ".scope")
	if len(base) <= fullLen+1 {
		return Identity{}
	}
	cut := len(base) - fullLen
	id, sep := base[cut:], base[cut-1]
	if (sep != '-' && sep != ':') || !isHex(id, fullLen) {
		return Identity{}
	}
	prefix := base[:cut-1]
	if sep == ':' {
		prefix = prefix[strings.LastIndexByte(prefix, ':')+1:]
	}
	for _, s := range scopes {
		if prefix == s.prefix {
			return Identity{id, s.typ}
		}
	}
	return Identity{}
}

// fromName knows the containers that are named and not numbered.
func fromName(dir, base string) Identity {
	parent := dir[strings.LastIndexByte(dir, '/')+1:]
	switch {
	case parent == "lxc" && strings.HasSuffix(dir, "/libvirt/lxc"):
		return Identity{base, LibvirtLXC}
	case parent == "lxc" || parent == "lxc.payload":
		return Identity{base, LXC}
	case strings.HasPrefix(base, "lxc.payload."):
		return Identity{strings.TrimPrefix(base, "lxc.payload."), LXC}
	case strings.HasPrefix(base, `machine-lxc\x2d`):
		// machine-lxc\x2dPID\x2dNAME.scope; the PID was added in libvirt 1.3.
		name := strings.TrimSuffix(strings.TrimPrefix(base, `machine-lxc\x2d`), ".scope")
		if i := strings.Index(name, `\x2d`); i > 0 && isDigits(name[:i]) {
			name = name[i+len(`\x2d`):]
		}
		return Identity{name, LibvirtLXC}
	case strings.HasSuffix(base, ".libvirt-lxc"):
		return Identity{strings.TrimSuffix(base, ".libvirt-lxc"), LibvirtLXC}
	}
	// BOSH process manager: "bpm-NAME", in a systemd scope "runc-bpm-NAME.scope".
	if name, ok := strings.CutPrefix(strings.TrimPrefix(base, "runc-"), "bpm-"); ok {
		if name = strings.TrimSuffix(name, ".scope"); name != "" {
			return Identity{name, BPM}
		}
	}
	return Identity{}
}

// isFargate knows the ids of AWS Fargate: 32 hex digits, '-', decimal digits.
func isFargate(s string) bool {
	return len(s) > 33 && s[32] == '-' && isHex(s[:32], 32) && isDigits(s[33:])
}

func isHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func isDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
