package field

import (
	"strconv"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
)

// containerFields are those of the process's container. The id is known from
// the start; the rest is missing until the container's runtime has told it.
func containerFields() []Field {
	fields := []Field{
		str("container.id", AtExec, "First 12 characters of the container's id; host outside containers.", func(c *Context) (string, bool) {
			return c.Proc.Container.ID, true
		}),
		str("container.full_id", AtExec, "Full id of the container; host outside containers.", func(c *Context) (string, bool) {
			return c.Proc.Container.FullID, true
		}),
		str("container.type", AtExec, "Runtime of the container: docker, containerd, cri-o, podman, lxc, ...; host outside containers.", func(c *Context) (string, bool) {
			return c.Proc.Container.Type, true
		}).with(Metadata), // until metadata arrives, the type that the cgroup suggests
		ofContainer("container.name", "Name of the container; host outside containers.", func(c *container.Container) string { return c.Name }),
		ofContainer("container.image", "Image of the container: repository and tag.", func(c *container.Container) string { return c.Image }),
		ofContainer("container.image.id", "Id of the container's image.", func(c *container.Container) string { return c.ImageID }),
		ofContainer("container.image.repository", "Repository of the container's image.", func(c *container.Container) string { return c.ImageRepository }),
		ofContainer("container.image.tag", "Tag of the container's image.", func(c *container.Container) string { return c.ImageTag }),
		ofContainer("container.image.digest", "Digest of the container's image.", func(c *container.Container) string { return c.ImageDigest }),
		containerFact("container.privileged", "True for privileged containers.", func(c *container.Container) bool { return c.Privileged }),
		containerFact("container.host_pid", "True for containers that share the host's pid namespace.", func(c *container.Container) bool { return c.HostPID }),
		containerFact("container.host_network", "True for containers that share the host's network.", func(c *container.Container) bool { return c.HostNetwork }),
		containerFact("container.host_ipc", "True for containers that share the host's IPC namespace.", func(c *container.Container) bool { return c.HostIPC }),
		ofContainer("container.ip", "IP address of the container.", func(c *container.Container) string { return c.IP }),
		ofContainer("container.cni.json", "Result of the container's network plugin, as JSON.", func(c *container.Container) string { return c.CNI }),
		nonzeroOfContainer("container.start_ts", "When the container was started, in ns since the epoch.", func(c *Context) uint64 { return c.Proc.PIDNSStart }),
		unsigned("container.duration", RelTime, AtEvent, "Time since the container was started, in ns.", func(c *Context) (uint64, bool) {
			start := c.Proc.PIDNSStart
			return c.Time - start, start != 0 && start <= c.Time && !isHost(c)
		}),
		labelsField("container.labels", "Labels of the container, as NAME:VALUE separated by commas.", containerLabels),
		labelField("container.label", "One label of the container, as in container.label.app.", containerLabels),
		never("container.healthcheck", String, "Never set; older versions of Falco had the container's health check here.").with(Deprecated),
		never("container.liveness_probe", String, "Never set; older versions of Falco had the container's liveness probe here.").with(Deprecated),
		never("container.readiness_probe", String, "Never set; older versions of Falco had the container's readiness probe here.").with(Deprecated),
	}
	return append(fields, mountFields()...)
}

// ofContainer is a text about the container; missing until it is known.
func ofContainer(name, doc string, get func(*container.Container) string) Field {
	return str(name, AtExec, doc, func(c *Context) (string, bool) {
		k := c.Proc.Container
		return get(k), k.Known
	}).with(Metadata)
}

func containerFact(name, doc string, is func(*container.Container) bool) Field {
	return boolean(name, AtExec, doc, func(c *Context) (uint64, bool) {
		k := c.Proc.Container
		return b2u(is(k)), k.Known
	}).with(Metadata)
}

func nonzeroOfContainer(name, doc string, get func(*Context) uint64) Field {
	return unsigned(name, AbsTime, AtExec, doc, func(c *Context) (uint64, bool) {
		n := get(c)
		return n, n != 0 && !isHost(c)
	})
}

func isHost(c *Context) bool { return c.Proc.Container == container.Host }

func containerLabels(c *Context) (map[string]string, bool) {
	return c.Proc.Container.Labels, c.Proc.Container.Known
}

// labelsField is all labels that withoutNames leaves, sorted.
func labelsField(name, doc string, get func(*Context) (map[string]string, bool)) Field {
	return str(name, AtExec, doc, func(c *Context) (string, bool) {
		labels, ok := get(c)
		if !ok {
			return "", false
		}
		return c.keep(append(c.buf, strings.Join(labelTexts(withoutNames(labels)), ", ")...)), true
	}).with(Metadata)
}

// withoutNames leaves out labels by which Kubernetes names things, which have
// fields of their own, and annotations.
func withoutNames(labels map[string]string) map[string]string {
	kept := make(map[string]string, len(labels))
	for k, v := range labels {
		if !strings.HasPrefix(k, "io.kubernetes.") && !strings.HasPrefix(k, "annotation.") {
			kept[k] = v
		}
	}
	return kept
}

// labelField is one label: NAME after a dot or in brackets.
func labelField(name, doc string, get func(*Context) (map[string]string, bool)) Field {
	return argField(name, AtExec, doc, func(c *Context, arg string) (string, bool) {
		labels, _ := get(c)
		s, ok := labels[arg]
		return s, ok
	}).afterDot().with(Metadata)
}

func mountFields() []Field {
	bySource := func(m *container.Mount) string { return m.Source }
	byDest := func(m *container.Mount) string { return m.Dest }
	return []Field{
		str("container.mounts", AtExec, "Mounts of the container, each as source:dest:mode:rw:propagation, separated by commas.", func(c *Context) (string, bool) {
			if !c.Proc.Container.Known {
				return "", false
			}
			start := len(c.buf)
			for i := range c.Proc.Container.Mounts {
				if i > 0 {
					c.buf = append(c.buf, ',')
				}
				c.buf = appendMount(c.buf, &c.Proc.Container.Mounts[i])
			}
			return c.built(start), true
		}).with(Metadata),
		mountField("container.mount", "One mount, as in container.mounts, by its number or its source. The source may have the wildcards * ? and [.", bySource, appendMount),
		mountField("container.mount.source", "Source of a mount, by number or destination.", byDest, func(dst []byte, m *container.Mount) []byte { return append(dst, m.Source...) }),
		mountField("container.mount.dest", "Destination of a mount, by number or source.", bySource, func(dst []byte, m *container.Mount) []byte { return append(dst, m.Dest...) }),
		mountField("container.mount.mode", "Mode of a mount, by number or source.", bySource, func(dst []byte, m *container.Mount) []byte { return append(dst, m.Mode...) }),
		mountField("container.mount.rdwr", "true if the mount is writable, otherwise false; by number or source.", bySource, func(dst []byte, m *container.Mount) []byte { return strconv.AppendBool(dst, m.RW) }),
		mountField("container.mount.propagation", "Propagation of a mount, by number or source.", bySource, func(dst []byte, m *container.Mount) []byte { return append(dst, m.Propagation...) }),
	}
}

func appendMount(dst []byte, m *container.Mount) []byte {
	for _, s := range [...]string{m.Source, m.Dest, m.Mode, strconv.FormatBool(m.RW), m.Propagation} {
		dst = append(append(dst, s...), ':')
	}
	return dst[:len(dst)-1]
}

// mountField is something of one mount: the nth, or the first whose key
// matches a pattern.
func mountField(name, doc string, key func(*container.Mount) string, add func([]byte, *container.Mount) []byte) Field {
	return Field{
		Name: name, Type: String, Stage: AtExec, Arg: ArgRequired, Doc: doc, Flags: Metadata,
		Bind: func(arg string) (Extractor, error) {
			find, err := mountFinder(arg, key)
			if err != nil {
				return Extractor{}, err
			}
			return Extractor{Type: String, Stage: AtExec, Str: func(c *Context) (string, bool) {
				m := find(c.Proc.Container.Mounts)
				if m == nil {
					return "", false
				}
				return c.keep(add(c.buf, m)), true
			}}, nil
		},
	}
}

func mountFinder(arg string, key func(*container.Mount) string) (func([]container.Mount) *container.Mount, error) {
	if n, err := index(arg); err == nil {
		return func(mounts []container.Mount) *container.Mount {
			if n >= len(mounts) {
				return nil
			}
			return &mounts[n]
		}, nil
	}
	matches, err := wildcard(arg)
	if err != nil {
		return nil, err
	}
	return func(mounts []container.Mount) *container.Mount {
		for i := range mounts {
			k := key(&mounts[i])
			if k != "/" {
				k = strings.TrimSuffix(k, "/")
			}
			if matches(k) {
				return &mounts[i]
			}
		}
		return nil
	}, nil
}
