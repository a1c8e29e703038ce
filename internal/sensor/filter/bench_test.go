package filter

import (
	"testing"

	"github.com/peregrine-sec/peregrine/internal/sensor/field"
)

// BenchmarkOperators measures the operators, which operatorCost is made from.
func BenchmarkOperators(b *testing.B) {
	for _, text := range []string{
		"p.name = postgres", "p.name in (bash, sh, zsh, dash, ash, csh, ksh, tcsh)", "p.name startswith post",
		"p.exe startswith anyof (/usr, /opt, /bin, /sbin, /lib)", "p.exe contains shadow", "p.exe icontains shadow",
		"p.exe glob /var/*/x", "p.exe regex '/etc/[a-z]+'", "p.exe pmatch (/etc, /usr/lib, /opt)",
	} {
		p := mustCompile(b, NewCompiler(fakeLookup), mustParse(b, text))
		c := contextOf(record{"p.name": "postgres", "p.exe": "/var/lib/postgresql/15/main/base/16384/2619"})
		b.Run(text, func(b *testing.B) {
			for b.Loop() {
				p(c)
			}
		})
	}
}

// BenchmarkMemo measures the cost of a remembered value, for the constants in
// link.
func BenchmarkMemo(b *testing.B) {
	c := contextOf(nil)
	c.Memo, c.Proc.Memo = make([]uint64, 1), make([]uint64, 1)
	plain := func(*field.Context) bool { return true }
	for _, bb := range []struct {
		name string
		p    Predicate
	}{{"none", plain}, {"event", remember(plain, 3)}, {"process", rememberProcess(plain, 3)}} {
		bb.p(c)
		b.Run(bb.name, func(b *testing.B) {
			for b.Loop() {
				bb.p(c)
			}
		})
	}
}
