package show

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/profile"
)

// Diff prints the differences of two profiles.
func Diff(w io.Writer, d profile.Diff, o Options) error {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\tA\tB\tChange\t\n")
	for _, row := range d.Totals {
		format := human.Number
		if strings.HasSuffix(row.Name, ", share") {
			format = human.Share
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t\n", strings.TrimSuffix(row.Name, ", share"), format(row.A), format(row.B), change(row))
	}
	_ = t.Flush() // into memory
	shown := len(d.Syscalls)
	if o.Rows > 0 {
		shown = min(shown, o.Rows)
	}
	if shown > 0 {
		b.WriteString("\n")
		fmt.Fprint(t, "Syscall\tA/s\tB/s\tChange\t100 ms max A\tB\tChange\t\n")
	}
	for i, row := range d.Syscalls[:shown] {
		burst := d.Bursts[i]
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", human.Text(row.Name), human.Number(row.A), human.Number(row.B), change(row),
			human.Number(burst.A), human.Number(burst.B), change(burst))
	}
	_ = t.Flush() // into memory
	if left := len(d.Syscalls) - shown; left > 0 {
		fmt.Fprintf(&b, "and %d more: --rows 0 shows all\n", left)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// change is in per cent, or in multiples where it is large.
func change(d profile.Difference) string {
	switch {
	case d.A == d.B:
		return "="
	case d.A == 0:
		return "new"
	case d.B == 0:
		return "gone"
	case d.Change > 3:
		return fmt.Sprintf("x%.1f", d.B/d.A)
	}
	text := fmt.Sprintf("%+.1f %%", 100*d.Change)
	if text == "-0.0 %" || text == "+0.0 %" {
		return "="
	}
	return text
}
