package container

import (
	"strings"
	"testing"
)

const (
	idA = "3ad7b26ded6d8e7b23da7d48fe889434573036c27ae5a74837233de441c3601e"
	idB = "46bac99f25f1c4b8e2b1e4a9c3f1d7a0e5b6c7d8e9fa0b1c2d3e4f5a6b7c8d9e"
	pod = "1a4b3c7d-0cf1-4b23-9d6e-5f6a7b8c9d0e"
)

func TestIdentify(t *testing.T) {
	slice := strings.ReplaceAll(pod, "-", "_")
	for _, c := range []struct{ name, path, id, typ string }{
		{"docker cgroupfs", "/docker/" + idA, idA, Docker},
		{"docker systemd", "/system.slice/docker-" + idA + ".scope", idA, Docker},
		{"docker, custom parent", "/build/jobs/" + idA, idA, Docker},
		{"docker, systemd inside", "/docker/" + idA + "/system.slice/sshd.service", idA, Docker},
		{"docker, init.scope inside", "/system.slice/docker-" + idA + ".scope/init.scope", idA, Docker},
		{"docker in docker", "/docker/" + idA + "/docker/" + idB, idB, Docker},
		{"docker in docker, systemd", "/system.slice/docker-" + idA + ".scope/docker/" + idB, idB, Docker},
		{"rootless docker", "/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" + idA + ".scope", idA, Docker},
		{"ECS on EC2", "/ecs/" + pod + "/" + idA, idA, Docker},
		{"Fargate", "/ecs/0a1b2c3d4e5f60718293a4b5c6d7e8f9/0a1b2c3d4e5f60718293a4b5c6d7e8f9-2531612879", "0a1b2c3d4e5f60718293a4b5c6d7e8f9-2531612879", Docker},
		{"kubepods cgroupfs", "/kubepods/besteffort/pod" + pod + "/" + idA, idA, Containerd},
		{"kubepods cgroupfs, guaranteed", "/kubepods/pod" + pod + "/" + idA, idA, Containerd},
		{"kubepods nested (kind)", "/docker/" + idA + "/kubelet/kubepods/burstable/pod" + pod + "/" + idB, idB, Containerd},
		{"kubepods systemd, containerd", "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + slice + ".slice/cri-containerd-" + idA + ".scope", idA, Containerd},
		{"kubepods systemd, guaranteed", "/kubepods.slice/kubepods-pod" + slice + ".slice/cri-containerd-" + idA + ".scope", idA, Containerd},
		{"kubepods systemd, docker", "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + slice + ".slice/docker-" + idA + ".scope", idA, Docker},
		{"kubepods systemd, crio", "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + slice + ".slice/crio-" + idA + ".scope", idA, CRIO},
		{"crio, container below the scope", "/kubepods.slice/kubepods-pod" + slice + ".slice/crio-" + idA + ".scope/container", idA, CRIO},
		{"crio cgroupfs", "/kubepods/burstable/pod" + pod + "/crio-" + idA, idA, CRIO},
		{"crio conmon is the host's", "/kubepods.slice/kubepods-pod" + slice + ".slice/crio-conmon-" + idA + ".scope", "", ""},
		{"containerd in colon form", "/kubepods-besteffort-pod" + slice + ".slice:cri-containerd:" + idA, idA, Containerd},
		{"containerd in colon form below system.slice", "/system.slice/containerd.service/kubepods-burstable-pod" + slice + ".slice:cri-containerd:" + idA, idA, Containerd},
		{"kind, systemd kubelet", "/system.slice/docker-" + idA + ".scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" + slice + ".slice/cri-containerd-" + idB + ".scope", idB, Containerd},
		{"containerd namespace", "/default/" + idA, idA, Containerd},
		{"nerdctl", "/system.slice/nerdctl-" + idA + ".scope", idA, Containerd},
		{"buildkit", "/system.slice/docker.service/buildkit/" + idA, idA, Containerd},
		{"podman", "/machine.slice/libpod-" + idA + ".scope", idA, Podman},
		{"podman, container below the scope", "/machine.slice/libpod-" + idA + ".scope/container", idA, Podman},
		{"podman rootless", "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + idA + ".scope/container", idA, Podman},
		{"podman cgroupfs", "/libpod_parent/libpod-" + idA, idA, Podman},
		{"podman pod", "/machine.slice/machine-libpod_pod_" + idB + ".slice/libpod-" + idA + ".scope", idA, Podman},
		{"podman conmon is the host's", "/machine.slice/libpod-conmon-" + idA + ".scope", "", ""},
		{"lxc", "/lxc/web1", "web1", LXC},
		{"lxc 4", "/lxc.payload.web1", "web1", LXC},
		{"lxc 3", "/lxc.payload/web1/init.scope", "web1", LXC},
		{"lxc monitor is the host's", "/lxc.monitor.web1", "", ""},
		{"docker in lxc", "/lxc.payload.web1/docker/" + idA, idA, Docker},
		{"libvirt", "/machine/guest.libvirt-lxc", "guest", LibvirtLXC},
		{"libvirt, old", "/libvirt/lxc/guest", "guest", LibvirtLXC},
		{"libvirt systemd", `/machine.slice/machine-lxc\x2d4711\x2dguest.scope`, "guest", LibvirtLXC},
		{"libvirt systemd, below", `/machine.slice/machine-lxc\x2dguest.scope/libvirt`, "guest", LibvirtLXC},
		{"qemu machine is no container", `/machine.slice/machine-qemu\x2d1\x2dguest.scope`, "", ""},
		{"bpm", "/bpm-gorouter", "gorouter", BPM},
		{"bpm systemd", "/system.slice/runc-bpm-gorouter.scope", "gorouter", BPM},

		{"root", "/", "", ""},
		{"empty", "", "", ""},
		{"service", "/system.slice/ssh.service", "", ""},
		{"docker itself", "/system.slice/docker.service", "", ""},
		{"containerd itself", "/system.slice/containerd.service", "", ""},
		{"user session", "/user.slice/user-1000.slice/session-3.scope", "", ""},
		{"32 hex digits", "/process_api/cd3274693162ea4504db10336cfaafcf", "", ""},
		{"32 hex digits below docker", "/docker/cd3274693162ea4504db10336cfaafcf", "", ""},
		{"a service ending in hex", "/system.slice/backup-" + idA[:12] + ".service", "", ""},
		{"a scope ending in 64 hex digits of no runtime", "/user.slice/run-" + idA + ".scope", "", ""},
		{"63 digits", "/docker/" + idA[1:], "", ""},
		{"65 digits", "/docker/" + idA + "0", "", ""},
		{"upper case", "/docker/" + strings.ToUpper(idA), "", ""},
		{"pod slice without a container", "/kubepods.slice/kubepods-pod" + slice + ".slice", "", ""},
	} {
		for _, form := range []string{
			c.path,                   // no subsystem
			"=" + c.path,             // v2
			"memory=" + c.path,       // v1
			"name=systemd=" + c.path, // v1, named hierarchy
			"cpuset=/\x00memory=/\x00name=systemd=" + c.path + "\x00=/", // hybrid
			"cpu,cpuacct=" + c.path + "\x00pids=" + c.path + "\x00",
		} {
			if got, want := identify(form), (Identity{c.id, c.typ}); got != want {
				t.Errorf("%s: Identify(%q) = %+v, want %+v", c.name, form, got, want)
			}
		}
	}
}

func TestShortID(t *testing.T) {
	for full, want := range map[string]string{
		idA:                    "3ad7b26ded6d",
		"web1":                 "web1",
		"":                     "",
		"a-lxc-container-name": "a-lxc-container-name",
		"0a1b2c3d4e5f60718293a4b5c6d7e8f9-2531612879": "0a1b2c3d4e5f",
	} {
		if got := (Identity{FullID: full}).ID(); got != want {
			t.Errorf("ID of %q = %q, want %q", full, got, want)
		}
	}
}

func TestIdentifyDoesNotAllocate(t *testing.T) {
	s := "cpuset=/\x00memory=/kubepods.slice/kubepods-pod1.slice/cri-containerd-" + idA + ".scope\x00"
	if n := testing.AllocsPerRun(100, func() { identify(s) }); n != 0 {
		t.Errorf("Identify allocates %v times", n)
	}
}

func FuzzIdentify(f *testing.F) {
	f.Add("cpuset=/\x00memory=/docker/" + idA)
	f.Add(`=/machine.slice/machine-lxc\x2d4711\x2dguest.scope/libvirt`)
	f.Add("name=systemd=/lxc.payload.a/bpm-b//")
	f.Fuzz(func(t *testing.T, s string) {
		id := identify(s)
		if (id.FullID == "") != (id.Type == "") || !strings.Contains(s, id.FullID) {
			t.Errorf("Identify(%q) = %+v", s, id)
		}
	})
}
