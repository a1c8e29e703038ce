package procfs

import (
	"os"
	"strconv"
	"strings"
)

// Machine describes a machine; unreadable facts stay empty.
type Machine struct {
	Kernel  string // release
	CPU     string // model
	Virtual bool   // a hypervisor is below
	Memory  uint64 // bytes
	Load    float64
}

// Machine describes the machine of this procfs.
func (r Root) Machine() Machine {
	cpus, memory := r.text("cpuinfo"), r.text("meminfo")
	load, _, _ := strings.Cut(r.text("loadavg"), " ")
	m := Machine{Kernel: r.Kernel(), CPU: value(cpus, "model name"), Memory: Number(memory, "MemTotal") << 10}
	m.Virtual = strings.Contains(value(cpus, "flags")+" ", " hypervisor ")
	m.Load, _ = strconv.ParseFloat(load, 64)
	return m
}

// Kernel is the kernel's release, "" if unreadable.
func (r Root) Kernel() string { return r.text("sys/kernel/osrelease") }

// BootID names the time from one boot to the next, "" if unreadable.
func (r Root) BootID() string { return r.text("sys/kernel/random/boot_id") }

func (r Root) text(name string) string {
	text, _ := os.ReadFile(string(r) + "/" + name)
	return strings.TrimSpace(string(text))
}

// value returns the first value of key; "" if the text has none.
func value(text, key string) string {
	for k, v := range Fields(text) {
		if k == key {
			return v
		}
	}
	return ""
}

// CPU is the time of all CPUs together since boot, in ticks.
type CPU struct{ Total, Idle, Steal uint64 }

// ParseCPU reads the first line of /proc/stat, "cpu user nice system idle
// iowait irq softirq steal guest guest_nice" (proc_stat(5)). Guest time is in
// user time already; waiting for a disk is idle.
func ParseCPU(text string) CPU {
	line, _, _ := strings.Cut(text, "\n")
	var c CPU
	for i, field := range strings.Fields(line) {
		n := number(field, 10)
		if i >= 1 && i <= 8 {
			c.Total += n
		}
		switch i {
		case 4, 5:
			c.Idle += n
		case 8:
			c.Steal = n
		}
	}
	return c
}

// CPU reads the time of all CPUs.
func (r Root) CPU() (CPU, error) {
	text, err := os.ReadFile(string(r) + "/stat")
	if err != nil {
		return CPU{}, err
	}
	return ParseCPU(string(text)), nil
}
