package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// short prints a rate as the method document does: 150K, 1.2M; small ones in
// full. At most three digits that count.
func short(x float64) string {
	unit := ""
	switch {
	case x >= 999.5e3:
		x, unit = x/1e6, "M"
	case x >= 10e3:
		x, unit = x/1e3, "K"
	default:
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	digits := 0
	switch {
	case x < 9.995:
		digits = 2
	case x < 99.95:
		digits = 1
	}
	text := strconv.FormatFloat(x, 'f', digits, 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text + unit
}

func dash(x float64) string {
	if x == 0 {
		return "–"
	}
	return short(x)
}

// Percent prints a share with two digits that count.
func Percent(share float64) string {
	p := 100 * share
	switch {
	case p == 0:
		return "0 %"
	case p >= 9.95:
		return fmt.Sprintf("%.0f %%", p)
	case p >= 0.095:
		return fmt.Sprintf("%.1f %%", p)
	case p >= 0.0095:
		return fmt.Sprintf("%.2f %%", p)
	}
	return strconv.FormatFloat(p, 'f', decimals(p), 64) + " %"
}

// decimals is how many decimals it takes to show one digit of a small number.
func decimals(p float64) int {
	n := 0
	for p < 0.95 && n < 9 {
		p, n = p*10, n+1
	}
	return n
}

func mebi(bytes uint64) string {
	switch {
	case bytes == 0:
		return "–"
	case bytes >= 10<<30:
		return fmt.Sprintf("%.0f GiB", float64(bytes)/(1<<30))
	}
	return fmt.Sprintf("%.0f MiB", float64(bytes)/(1<<20))
}

func cpu(c float64) string { return strconv.FormatFloat(c, 'g', 3, 64) }

func milli(c float64) string { return strconv.FormatFloat(c*1000, 'f', 0, 64) + "m" }

// duration prints nanoseconds with three digits that count.
func duration(ns int64) string {
	d := time.Duration(ns)
	switch {
	case d == 0:
		return "–"
	case d < time.Microsecond:
		return d.String()
	case d < time.Millisecond:
		return strconv.FormatFloat(float64(ns)/1e3, 'g', 3, 64) + " µs"
	case d < time.Second:
		return strconv.FormatFloat(float64(ns)/1e6, 'g', 3, 64) + " ms"
	}
	return strconv.FormatFloat(float64(ns)/1e9, 'f', 2, 64) + " s"
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown CPU"
	}
	return s
}

// quoteCommand prints a command line that a shell reads back as it was.
func quoteCommand(args []string) string {
	quoted := make([]string, len(args))
	for i, arg := range args {
		quoted[i] = arg
		if arg == "" || strings.ContainsAny(arg, " \t\n\"'\\$&|;<>()*?[]{}~#`!") {
			quoted[i] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
