package probe

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindSymbol(t *testing.T) {
	const list = `ffffffff81000000 T _text
ffffffff82c0d3a8 d preempt_dynamic_mode.cold
ffffffff82c0d3ac D preempt_dynamic_mode
0000000000000000 D hidden
zzz D odd
ffffffffc0a01000 t preempt_dynamic_mode	[some]
`
	for name, want := range map[string]string{
		"preempt_dynamic_mode": "ffffffff82c0d3ac, <nil>",
		"hidden":               "0, address of hidden in /proc/kallsyms: hidden (needs CAP_SYSLOG, and kernel.kptr_restrict below 2)",
		"odd":                  `0, address of odd in /proc/kallsyms: strconv.ParseUint: parsing "zzz": invalid syntax`,
		"mode":                 "0, /proc/kallsyms has no mode",
	} {
		address, err := findSymbol(strings.NewReader(list), name)
		if got := fmt.Sprintf("%x, %v", address, err); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// The kernel's variable says what debugfs says, in each of the modes.
func TestPreemptionVariable(t *testing.T) {
	needBPF(t)
	if os.Getenv("PEREGRINE_REQUIRE_HOOKS") != "1" {
		t.Skip("changes when the host's kernel is preempted: PEREGRINE_REQUIRE_HOOKS=1")
	}
	root, err := mountNowhere("debugfs")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	file := filepath.Join(fmt.Sprintf("/proc/self/fd/%d", root.Fd()), "sched/preempt")
	modes, err := os.ReadFile(file)
	if err != nil {
		t.Skipf("the kernel does not choose at boot: %v", err)
	}
	set := func(mode string) {
		if err := os.WriteFile(file, []byte(mode), 0); err != nil {
			t.Error(err)
		}
	}
	defer set(chosenMode(modes))
	for _, mode := range strings.Fields(strings.NewReplacer("(", "", ")", "").Replace(string(modes))) {
		set(mode)
		if got, err := preemptionVariable(); got != mode || err != nil {
			t.Errorf("%q, want %q: %v", got, mode, err)
		}
	}
}

// Memory that is not there cannot be read.
func TestReadKernel(t *testing.T) {
	needBPF(t)
	if value, err := readKernel(0); value != 1<<32-1 || err != nil {
		t.Errorf("%d, %v", value, err)
	}
}
