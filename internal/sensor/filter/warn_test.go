package filter

import "testing"

func TestRegexWarnings(t *testing.T) {
	for expr, want := range map[string]bool{
		"x": true, "^x$": true, "^x": true, "x$": true, ".*x": true, "x.*": true, ".+x": true, "x.?": true, ".*x.*": true, "^.*x": false, "": true,
		"x.": false, "(a|b)": false, "a.*b": false, "x{2}": false, `a\.b`: false, "[ab]": false, "x^": false, ".*": true,
	} {
		n := mustParse(t, "s.a regex "+Quote(expr))
		if got := len(Warnings(n, fakeLookup)) > 0; got != want {
			t.Errorf("regex %q: warned %v", expr, got)
		}
	}
}

func TestForeignEventNames(t *testing.T) {
	for _, name := range []string{"riscv_flush_icache", "s390_sthyi", "spu_run", "sync_file_range2", "_newselect", "arm_fadvise64_64", "vm86", "infra"} {
		if _, err := NewCompiler(fakeLookup).Compile(mustParse(t, "evt.type = "+name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
