package field_test

import (
	"strings"
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/container"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
	"github.com/peregrine-sec/peregrine/test/support/fieldtest"
)

func TestContainer(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	w := fieldtest.New(t, fieldtest.Proc{PID: 20, Comm: "sh", Cgroups: []string{"memory=/docker/" + id}, PIDNSStart: 5e9})

	// Before the runtime has told about it there is only its id.
	check(t, w.Event(t, 20, event.KindClose), map[string]string{
		"container.id": id[:12], "container.full_id": id, "container.type": "docker", "container.name": "-", "container.image": "-",
		"container.image.repository": "-", "container.privileged": "-", "container.mounts": "-", "container.mount[0]": "-",
		"container.labels": "-", "container.label.app": "-", "container.ip": "-", "k8s.pod.name": "-", "k8s.ns.name": "-", "k8s.pod.label.x": "-",
		"container.start_ts": "1795359508447936116", "container.duration": "5000000000",
	})

	w.Table.UpdateContainer(container.Container{
		ID: id[:12], Name: "web", Image: "docker.io/nginx:1", ImageID: "sha256:1", ImageRepository: "docker.io/nginx", ImageTag: "1", ImageDigest: "sha256:2",
		Privileged: true, HostNetwork: true, IP: "172.17.0.2", CNI: "{}", Labels: map[string]string{"b": "2", "a.x/y": "1"},
		Mounts: []container.Mount{
			{Source: "/proc/sys/", Dest: "/host/sys", Mode: "ro", Propagation: "rprivate"},
			{Source: "/var/lib/x", Dest: "/data", RW: true},
			{Source: "/", Dest: "/host", Mode: "ro"},
		},
		Pod: &container.Pod{Name: "web-1", Namespace: "prod", UID: "u-1", SandboxID: strings.Repeat("f", 64), IP: "10.1.2.3", CNI: "[]", Labels: map[string]string{"app": "web"}},
	})
	check(t, w.Event(t, 20, event.KindClose), map[string]string{
		"container.id": id[:12], "container.name": "web", "container.image": "docker.io/nginx:1", "container.image.id": "sha256:1",
		"container.image.repository": "docker.io/nginx", "container.image.tag": "1", "container.image.digest": "sha256:2",
		"container.privileged": "true", "container.host_network": "true", "container.host_pid": "false", "container.host_ipc": "false",
		"container.ip": "172.17.0.2", "container.cni.json": "{}", "container.labels": "a.x/y:1, b:2", "container.label.a.x/y": "1", "container.label[b]": "2",
		"container.mounts":   "/proc/sys/:/host/sys:ro:false:rprivate,/var/lib/x:/data::true:,/:/host:ro:false:",
		"container.mount[0]": "/proc/sys/:/host/sys:ro:false:rprivate", "container.mount[3]": "-", "container.mount[/var*]": "/var/lib/x:/data::true:",
		"container.mount.dest[/proc*]": "/host/sys", "container.mount.dest[/nosuch]": "-", "container.mount.dest[/]": "/host", "container.mount.source[/data]": "/var/lib/x",
		"container.mount.mode[/proc/sys]": "ro", "container.mount.rdwr[1]": "true", "container.mount.propagation[0]": "rprivate",
		"k8s.pod.name": "web-1", "k8s.ns.name": "prod", "k8s.pod.id": "u-1", "k8s.pod.uid": "u-1", "k8s.pod.ip": "10.1.2.3", "k8s.pod.cni.json": "[]",
		"k8s.pod.sandbox_id": "ffffffffffff", "k8s.pod.full_sandbox_id": strings.Repeat("f", 64), "k8s.pod.labels": "app:web", "k8s.pod.label.app": "web",
		"k8s.pod.label[x]": "-", "k8s.rc.name": "-", "k8s.ns.label.x": "-", "fd.containername": "-",
	})
}

// TestNameChanged shows a row of docs/compatibility.md.
func TestNameChanged(t *testing.T) {
	w := shells(t)
	udpSock := event.FileInfo{Type: event.FDIPv4, L4Proto: udp, SPort: 5, DPort: 53}
	connected := udpSock
	connected.Flags = event.FileConnected
	for _, tt := range []struct {
		name string
		kind event.Kind
		res  int64
		file event.FileInfo
		want string
	}{
		{"connect", event.KindConnect, 0, udpSock, "true"},
		{"connect begun", event.KindConnect, -115, udpSock, "true"},
		{"connect refused", event.KindConnect, -111, udpSock, "false"},
		{"bind", event.KindBind, 0, udpSock, "true"},
		{"bind failed", event.KindBind, -98, udpSock, "false"},
		{"sendto", event.KindSendto, 5, udpSock, "true"},
		{"sendto connected", event.KindSendto, 5, connected, "false"},
		{"sendto of tcp", event.KindSendto, 5, event.FileInfo{Type: event.FDIPv4, L4Proto: tcp}, "false"},
		{"close", event.KindClose, 0, udpSock, "false"},
	} {
		c := w.Event(t, 14, tt.kind, fieldtest.Num("res", tt.res), fieldtest.File(tt.file, v4))
		if got := value(t, c, "fd.name_changed"); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestErrorCounts(t *testing.T) {
	w := shells(t)
	for _, tt := range []struct {
		kind   event.Kind
		params []fieldtest.Param
		want   string // all, file, net, memory, other
	}{
		{event.KindMunmap, []fieldtest.Param{fieldtest.Num("res", -22)}, "1 - - 1 -"},
		{event.KindConnect, []fieldtest.Param{fieldtest.Num("res", -111)}, "1 - 1 - -"},
		{event.KindConnect, []fieldtest.Param{fieldtest.Num("res", -115)}, "- - - - -"},
		{event.KindRead, []fieldtest.Param{fieldtest.Num("res", -5), fieldtest.File(event.FileInfo{Type: event.FDFile}, "")}, "1 1 - - -"},
		{event.KindRead, []fieldtest.Param{fieldtest.Num("res", -5), fieldtest.File(event.FileInfo{Type: event.FDIPv6}, "")}, "1 - 1 - -"},
		{event.KindKill, []fieldtest.Param{fieldtest.Num("res", -3)}, "1 - - - 1"},
		{event.KindOpen, []fieldtest.Param{fieldtest.Num("fd", 3)}, "- - - - -"},
	} {
		c := w.Event(t, 14, tt.kind, tt.params...)
		var got []string
		for _, suffix := range []string{"", ".file", ".net", ".memory", ".other"} {
			got = append(got, value(t, c, "evt.count.error"+suffix))
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%v: %s, want %s", tt.kind, s, tt.want)
		}
	}
}
