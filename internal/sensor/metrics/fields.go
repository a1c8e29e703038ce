package metrics

import (
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/alert"
	"github.com/peregrine-sec/peregrine/internal/sensor/config"
	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// Fields returns snapshot s under the names of Falco's metrics, sorted,
// filtered by c. prev is the previous snapshot, for rates; nil for the first.
// Zero values are left out unless c includes them, except counters of losses.
func Fields(s, prev *Snapshot, c config.Metrics) []alert.Field {
	f := &fieldList{empty: c.IncludeEmpty}
	f.base(s, prev)
	if c.Rules {
		f.rules(s)
	}
	if c.Resources {
		f.resources(s, prev, c.ConvertToMB)
	}
	if c.State {
		f.state(s)
	}
	if c.Kernel {
		f.kernel(s, prev, c.PerCPU)
	}
	if c.LibbpfStats {
		f.programs(s)
	}
	f.outputs(s)
	slices.SortFunc(f.fields, func(a, b alert.Field) int { return strings.Compare(a.Name, b.Name) })
	return f.fields
}

// fieldList collects fields.
type fieldList struct {
	fields []alert.Field
	empty  bool // keep zeros
}

func (f *fieldList) text(name, value string) {
	f.fields = append(f.fields, alert.Field{Name: name, Value: alert.Value{Kind: alert.String, Str: value}})
}

func (f *fieldList) number(name string, n uint64) {
	if n != 0 || f.empty {
		f.always(name, n)
	}
}

func (f *fieldList) always(name string, n uint64) {
	f.fields = append(f.fields, alert.Field{Name: name, Value: alert.Value{Kind: alert.Uint, Uint: n}})
}

// rate is a number with one decimal, as Falco prints rates and shares.
func (f *fieldList) rate(name string, x float64) {
	f.fields = append(f.fields, alert.Field{Name: name, Value: alert.Value{Kind: alert.Double, Dbl: math.Round(x*10) / 10}})
}

func (f *fieldList) base(s, prev *Snapshot) {
	f.always("evt.time", uint64(s.Time))
	f.text("evt.hostname", s.Host.Name)
	f.text("evt.source", s.Source)
	f.text("falco.version", s.Version)
	f.always("falco.start_ts", uint64(s.Start))
	f.always("falco.reload_ts", uint64(s.Reload))
	f.always("falco.duration_sec", uint64(s.Elapsed/1e9))
	f.text("falco.kernel_release", s.Host.KernelRelease)
	f.always("falco.host_boot_ts", uint64(s.Host.BootTime))
	f.always("falco.host_num_cpus", uint64(s.Host.CPUs))
	f.always("falco.outputs_queue_num_drops", s.OutputDrops())
	for _, file := range s.RulesFiles {
		f.text("falco.sha256_rules_file."+sanitize(filepath.Base(file.Name)), file.SHA256)
	}
	for _, file := range s.ConfigFiles {
		f.text("falco.sha256_config_file."+sanitize(filepath.Base(file.Name)), file.SHA256)
	}
	for _, i := range s.Host.Interfaces {
		prefix := "falco.host_netinfo.interfaces." + i.Name + ".protocols."
		if len(i.IPv4) > 0 {
			f.text(prefix+"ipv4.addresses", strings.Join(i.IPv4, ","))
		}
		if len(i.IPv6) > 0 {
			f.text(prefix+"ipv6.addresses", strings.Join(i.IPv6, ","))
		}
	}
	f.text("scap.engine_name", s.EngineName)
	before := uint64(0)
	if prev != nil {
		before = prev.Events
	}
	f.always("falco.num_evts", s.Events)
	f.always("falco.num_evts_prev", before)
	f.rate("falco.evts_rate_sec", perSecond(s.Events-before, s.since(prev)))
}

// OutputDrops is the number of alerts dropped, over all channels.
func (s *Snapshot) OutputDrops() (n uint64) {
	for _, c := range s.Channels {
		n += c.Dropped
	}
	return n
}

// since is the time in seconds from prev, or from the start.
func (s *Snapshot) since(prev *Snapshot) float64 {
	from := Duration(0)
	if prev != nil {
		from = prev.Elapsed
	}
	return (s.Elapsed - from).Seconds()
}

func perSecond(n uint64, seconds float64) float64 {
	if seconds <= 0 {
		return 0
	}
	return float64(n) / seconds
}

func (f *fieldList) rules(s *Snapshot) {
	var all uint64
	for _, r := range s.Rules {
		all += r.Matches
		f.number("falco.rules."+sanitize(r.Name), r.Matches)
	}
	f.number("falco.rules.matches_total", all)
}

// sanitize turns a name into letters, digits and single underscores.
func sanitize(name string) string {
	words := strings.FieldsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9')
	})
	return strings.Join(words, "_")
}

func (f *fieldList) resources(s, prev *Snapshot, mega bool) {
	r := s.Resources
	f.rate("falco.cpu_usage_perc", 100*s.CPUShare(prev))
	unit, divisor := "_kb", uint64(1<<10)
	if mega {
		unit, divisor = "_mb", 1<<20
	}
	for name, n := range map[string]uint64{"memory_rss": r.RSS, "memory_vsz": r.VSZ, "memory_pss": r.PSS, "host_memory_used": r.HostMemory} {
		f.number("falco."+name+unit, n/divisor)
	}
	if mega {
		f.number("falco.container_memory_used_mb", r.ContainerMemory/divisor)
	} else {
		f.number("falco.container_memory_used_bytes", r.ContainerMemory)
	}
	f.rate("falco.host_cpu_usage_perc", 100*r.HostCPU)
	f.number("falco.host_procs_running", r.HostProcs)
	f.number("falco.host_open_fds", r.HostOpenFDs)
}

// CPUShare is the CPU time since prev (or since the process began) over the
// time that has passed: 1 is one CPU.
func (s *Snapshot) CPUShare(prev *Snapshot) float64 {
	used, passed := s.Resources.CPUTime, s.Resources.Uptime
	if prev != nil {
		used -= prev.Resources.CPUTime
		passed = s.Elapsed - prev.Elapsed
	}
	if passed <= 0 {
		return 0
	}
	return float64(used) / float64(passed)
}

func (f *fieldList) state(s *Snapshot) {
	for name, n := range map[string]uint64{
		"n_threads": s.State.Threads, "n_added_threads": s.State.Added, "n_removed_threads": s.State.Removed,
		"n_cached_thread_lookups": s.State.Lookups, "n_noncached_thread_lookups": s.State.Fetched,
		"n_failed_thread_lookups": s.State.Failed, "n_drops_full_threadtable": s.State.TableFull,
		"n_containers": s.State.Containers, "n_missing_container_images": uint64(s.Metadata.Imageless),
	} {
		f.number("falco."+name, n)
	}
}

func (f *fieldList) kernel(s, prev *Snapshot, perCPU bool) {
	var before Probe
	if prev != nil {
		before = prev.Probe
	}
	p, seconds := s.Probe, s.since(prev)
	drops, dropsBefore := p.Drops.Total(), before.Drops.Total()
	f.always("scap.n_evts", p.Seen)
	f.always("scap.n_evts_prev", before.Seen)
	f.rate("scap.evts_rate_sec", perSecond(p.Seen-before.Seen, seconds))
	f.always("scap.n_drops", drops)
	f.always("scap.n_drops_prev", dropsBefore)
	f.rate("scap.evts_drop_rate_sec", perSecond(drops-dropsBefore, seconds))
	f.rate("scap.n_drops_perc", percent(drops-dropsBefore, p.Seen-before.Seen))
	f.always("scap.n_filtered", p.Filtered)
	f.always("scap.n_delivered", p.Delivered)
	f.number("peregrine.arguments_unread", p.Unread)
	f.number("peregrine.syscalls_untranslated", p.Untranslated)
	f.number("peregrine.process_masks", p.Masks.Held)
	f.number("peregrine.process_masks_written", p.Masks.Written)
	f.number("peregrine.process_masks_filtered", p.Masks.Filtered)
	f.number("peregrine.process_masks_stale", p.Masks.Stale)
	for name, n := range dropsByName(&p.Drops) {
		f.number("scap."+name, n)
	}
	if perCPU {
		for i, c := range p.PerCPU {
			f.number("scap.n_evts_cpu_"+strconv.Itoa(i), c.Events)
			f.number("scap.n_drops_cpu_"+strconv.Itoa(i), c.Drops)
		}
	}
}

func percent(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}

// dropsByName are the drops under Falco's names.
func dropsByName(d *event.Drops) map[string]uint64 {
	names := map[string]uint64{
		"n_drops_buffer_total": d.Of(event.DropBuffer), "n_drops_scratch_map": d.Of(event.DropScratch),
		"n_drops_page_faults": d.Of(event.DropPageFault), "n_drops_bug": d.Of(event.DropBug),
	}
	for category, n := range d[event.DropBuffer] {
		names["n_drops_buffer_"+event.DropCategory(category).String()+"_exit"] = n
	}
	return names
}

func (f *fieldList) programs(s *Snapshot) {
	for _, p := range s.Programs {
		f.number("scap."+p.Name+".run_cnt", p.Runs)
		f.number("scap."+p.Name+".run_time_ns", uint64(p.Time))
		if p.Runs > 0 {
			f.number("scap."+p.Name+".avg_time_ns", uint64(p.Time)/p.Runs)
		}
	}
}

// outputs are counters that Falco does not have.
func (f *fieldList) outputs(s *Snapshot) {
	f.number("peregrine.alerts", s.Alerts)
	f.number("peregrine.alerts_throttled", s.Throttled)
	f.number("peregrine.containers_known", uint64(s.Metadata.Known))
	f.number("peregrine.containers_without_image", uint64(s.Metadata.Imageless))
	f.number("peregrine.metadata_waited", s.Metadata.Waited)
	f.number("peregrine.metadata_wait_cut", s.Metadata.Cut)
	for name, n := range map[string]uint64{
		"files": s.Recordings.Files, "events": s.Recordings.Events, "missed": s.Recordings.Missed,
		"limited": s.Recordings.Limited, "errors": s.Recordings.Errors,
	} {
		f.number("peregrine.recordings_"+name, n)
	}
	for _, c := range s.Channels {
		prefix := "peregrine.outputs." + c.Name + "."
		f.number(prefix+"sent", c.Sent)
		f.number(prefix+"queued", c.Queued)
		f.number(prefix+"dropped", c.Dropped)
		f.number(prefix+"errors", c.Errors)
	}
}
