package probe

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// loadHooked is a probe whose functions report; elsewhere the test is skipped.
func loadHooked(t *testing.T, in Interest) *Probe {
	t.Helper()
	p := load(t, Options{CPUsPerRing: 1, Interest: in, Hooks: Functions})
	if force := p.Hooks(); force.Hooks != Functions {
		t.Skip(force.Why)
	}
	return p
}

// Rules that look at all syscalls stay at sys_exit, and the functions of fewer
// that are attached go.
func TestTooManyFunctions(t *testing.T) {
	p := loadHooked(t, Interest{Syscalls: ids("openat")})
	var all Interest
	for id := range event.ID(event.NumSyscalls()) {
		all.Syscalls = append(all.Syscalls, id)
	}
	names, why := p.hooks.attach(t.Context(), all)
	if want := fmt.Sprintf("functions, more than %d", maxFunctions); !strings.HasSuffix(why, want) || names != nil {
		t.Errorf("%d functions, because %q, want %q", len(names), why, want)
	}
}

// Functions need CAP_SYS_ADMIN, which the tracepoint does not.
func TestFunctionsWithoutSysAdmin(t *testing.T) {
	loadHooked(t, Interest{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the function
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if err := unix.Capget(&header, &data[0]); err != nil {
			t.Error(err)
			return
		}
		data[0].Effective &^= 1 << unix.CAP_SYS_ADMIN
		if err := unix.Capset(&header, &data[0]); err != nil {
			t.Error(err)
			return
		}
		h := hooks{probe: &Probe{from: object{}.open(btf.NewCache())}}
		// Of bpf, or of debugfs where preemption is a choice.
		if why := h.impossible(); !strings.Contains(why, "open file system ") || !strings.HasSuffix(why, ": operation not permitted") {
			t.Errorf("without CAP_SYS_ADMIN: %q", why)
		}
	}()
	<-done
}

// The kernel's function tracer, on the same function, sees the calls as before,
// and so does the sensor.
func TestFunctionTracer(t *testing.T) {
	const tracing = "/sys/kernel/tracing/"
	if os.Getenv("PEREGRINE_REQUIRE_HOOKS") != "1" {
		t.Skip("changes the host's tracer: PEREGRINE_REQUIRE_HOOKS=1")
	}
	function := nativeFunction("openat")
	set := func(file, text string) error { return os.WriteFile(tracing+file, []byte(text), 0o644) }
	for _, tracedFirst := range []bool{true, false} {
		trace := func() {
			if err := errors.Join(set("set_ftrace_filter", function), set("current_tracer", "function")); err != nil {
				t.Fatal(err)
			}
		}
		if tracedFirst {
			trace()
		}
		p := loadHooked(t, Interest{Syscalls: ids("openat")})
		if !tracedFirst {
			trace()
		}
		seesOpens(t, p)
		traced, err := os.ReadFile(tracing + "trace")
		if err := errors.Join(err, set("current_tracer", "nop"), set("set_ftrace_filter", "")); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(traced), ": "+function) {
			t.Errorf("the tracer is first: %v; it saw:\n%s", tracedFirst, traced)
		}
	}
}
