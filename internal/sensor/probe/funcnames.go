package probe

import (
	"slices"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// numbering is how functions of syscalls of an ABI are called.
type numbering struct {
	abi      event.ABI
	renamed  map[string]string
	prefixes []string // the first that a function has is that of its syscalls
	needs    string   // a function of kernels with such tasks; "" for all kernels
}

// numberings of the machine's own tasks and of its 32-bit ones; nil where
// functions are not hooked.
func numberings(native event.ABI) []numbering {
	switch native {
	case event.AMD64:
		// Functions without arguments are one for both ABIs, under three names
		// (arch/x86/include/asm/syscall_wrapper.h, SYSCALL_DEFINE0). The kernel
		// refuses a second program under another name of the same function.
		return []numbering{
			{event.AMD64, renamed(amd64Renamed), []string{"__do_sys_", "__x64_sys_"}, ""},
			{event.I386, renamed(i386Renamed), []string{"__ia32_compat_sys_", "__do_compat_sys_", "__do_sys_", "__ia32_sys_"}, "__ia32_compat_sys_execve"},
		}
	case event.ARM64:
		// All functions without a compat one are one for both ABIs
		// (arch/arm64/include/asm/syscall_wrapper.h).
		return []numbering{
			{event.ARM64, renamed(arm64Renamed), []string{"__arm64_sys_"}, ""},
			{event.ARM, renamed(armRenamed), []string{"__arm64_compat_sys_", "__arm64_sys_"}, "__arm64_compat_sys_execve"},
		}
	}
	return nil
}

// openat is the name of its function, which all kernels have. The last prefix is
// that of functions with arguments.
func (n numbering) openat() string { return n.prefixes[len(n.prefixes)-1] + "openat" }

// called lists the syscalls of i, and socketcall, by which i386 tasks may make
// socket calls.
func (i Interest) called() []event.ID {
	mux, ok := event.SyscallByName("socketcall")
	for _, id := range i.Syscalls {
		if ok && slices.Contains(socketcalls[:], id.String()) {
			return append(slices.Clip(i.Syscalls), mux)
		}
	}
	return i.Syscalls
}

// functionsOf are the names of the functions that serve the syscalls, of those
// that the kernel has; unknown are the syscalls for which it seems to have
// none.
func functionsOf(ids []event.ID, all []numbering, has func(string) bool) (names, unknown []string) {
	seen := map[string]bool{}
	for _, n := range all {
		if n.needs != "" && !has(n.needs) { // CONFIG_IA32_EMULATION, CONFIG_COMPAT
			continue
		}
		for _, id := range ids {
			if _, ok := id.Number(n.abi); !ok {
				continue
			}
			all, ok := n.functions(id.String(), has)
			if !ok && !slices.Contains(unknown, id.String()) {
				unknown = append(unknown, id.String())
			}
			for _, name := range all {
				if !seen[name] {
					seen[name] = true
					names = append(names, name)
				}
			}
		}
	}
	return names, unknown
}

// functions are the names of a syscall's functions, none where the kernel does
// not have that syscall; false if it should have it.
func (n numbering) functions(syscall string, has func(string) bool) (names []string, ok bool) {
	base, other := n.renamed[syscall]
	if !other {
		base = syscall
	}
	if base == "" {
		return nil, true
	}
	for _, prefix := range n.prefixes {
		if has(prefix + base) {
			names = append(names, prefix+base)
		}
	}
	if len(names) > 1 && !leftover[syscall] {
		names = names[:1]
	}
	return names, len(names) > 0 || later[syscall]
}
