package web

import (
	_ "embed"
	"strings"
)

// helpOf returns the HELP text of a series. A series without a text is a
// defect, which a test finds.
func helpOf(name string) string {
	if text, ok := help[name]; ok {
		return text
	}
	for suffix, text := range programHelp { // series of the probe's programs
		if strings.HasPrefix(name, "falcosecurity_scap_") && strings.HasSuffix(name, suffix) {
			return text
		}
	}
	return ""
}

var programHelp = map[string]string{
	"_run_cnt_total":              "Runs of this program of the probe, as the kernel counts them (kernel.bpf_stats_enabled).",
	"_run_time_nanoseconds_total": "Time in this program of the probe, in ns, as the kernel measures it (kernel.bpf_stats_enabled).",
}

//go:embed help.txt
var helpTexts string

// help is the text of each series: a line of help.txt, which begins with its
// name.
var help = func() map[string]string {
	texts := map[string]string{}
	for line := range strings.Lines(helpTexts) {
		name, text, _ := strings.Cut(strings.TrimSpace(line), " ")
		texts[name] = text
	}
	return texts
}()
