package probe

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// fields are expected parameters.
type fields map[string]string

// call is a syscall to perform and the event that it must make. Its result is
// put into the fields "res" or "fd" where want does not have them.
type call struct {
	name    string // of the subtest, if a syscall has several
	syscall string
	do      func() int64
	want    fields
	// dynamic adds the fields that are known only after the call.
	dynamic func(res int64) fields
	fails   bool
	opens   bool // a descriptor, which the test has to close
}

func runCalls(t *testing.T, calls []call) {
	for _, c := range calls {
		t.Run(c.syscall+c.name, func(t *testing.T) {
			id, ok := event.SyscallByName(c.syscall)
			if !ok {
				t.Fatalf("no syscall %q", c.syscall)
			}
			var res int64
			tr := trace(t, []string{c.syscall}, func() { res = c.do() })
			if res == -int64(unix.ENOSYS) || c.syscall == "close_range" && res == -int64(unix.EINVAL) {
				t.Skip("not on this kernel") // CLOSE_RANGE_CLOEXEC came with 5.11
			}
			if c.opens && res >= 0 {
				defer unix.Close(int(res))
			}
			if (res < 0) != c.fails {
				t.Fatalf("%s = %d", c.syscall, res)
			}
			if c.syscall == "bpf" { // the test configures the probe with it
				tr.events = slices.DeleteFunc(tr.of(event.KindBpf, os.Getpid()), func(e recorded) bool { return e.Header().Res != res })
			}
			e := tr.one(id.Kind())
			want := fields{}
			for k, v := range c.want {
				want[k] = v
			}
			if c.dynamic != nil {
				for k, v := range c.dynamic(res) {
					want[k] = v
				}
			}
			if info := e.Info(); len(info.Params) > 0 {
				first := info.Params[0].Name
				if _, ok := want[first]; !ok {
					want[first] = fmt.Sprint(res)
				}
			}
			e.want(t, want) // "*" stands for any value
			checkHeader(t, &e, res, c.syscall)
		})
	}
}

// num is the text of a number.
func num[T int | int64 | uint32 | uint64](n T) string { return fmt.Sprint(n) }
