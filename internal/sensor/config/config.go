// Package config is the sensor's configuration: the keys of falco.yaml that
// have a meaning here, with Falco's names, and a few of our own below
// "peregrine". Load reads the file, the files it includes, the environment
// and -o options into one tree of YAML nodes, each of which remembers where
// it came from, and decodes that tree strictly: a wrong type is an error with
// file:line:col, an unknown key a warning with the nearest known name.
//
// The doc tags are the reference manual: docs/configuration.md is made from
// them. A Config is not changed after Load and may be shared.
package config

// Config holds every key. The zero value is not useful; start from Default.
type Config struct {
	ConfigFiles      []Include `yaml:"config_files" doc:"Further files, or directories of *.yaml and *.yml files in lexical order, read after this one. An entry is a path, or {path, strategy}; strategy append (the default) joins lists, merges maps and replaces scalars; override replaces whole top-level keys; add-only adds top-level keys that are not there yet. Missing paths are skipped."`
	WatchConfigFiles bool      `yaml:"watch_config_files" doc:"Reload when a configuration or rules file changes. The new files are validated first; if one is invalid, the running configuration stays in force."`

	RulesFiles []string     `yaml:"rules_files" doc:"Rules files and directories, in order. Empty: the rules inside the binary. The old name rules_file also works."`
	Rules      []RuleSwitch `yaml:"rules" doc:"Enables and disables loaded rules, in order. Each entry is {enable: X} or {disable: X}, where X is {rule: WILDCARD} or {tag: NAME}."`
	Priority   string       `yaml:"priority" oneof:"emergency|alert|critical|error|warning|notice|informational|info|debug" doc:"Rules less urgent than this are not loaded."`
	RuleMatch  string       `yaml:"rule_matching" oneof:"first|all" refused:"Unknown rule matching strategy" doc:"first: only the first rule that matches an event raises an alert; all: every rule that matches does."`

	Engine       Engine       `yaml:"engine" doc:"Source of events."`
	BaseSyscalls BaseSyscalls `yaml:"base_syscalls" doc:"Syscalls to observe in addition to those that rules name."`
	FalcoLibs    FalcoLibs    `yaml:"falco_libs" doc:"Limits of the state that the sensor keeps."`
	Capture      Capture      `yaml:"capture" doc:"Record events around alerts to .scap files."`

	Plugins     Plugins     `yaml:"plugins" doc:"Settings of Falco's plugins, as a list of {name, init_config, open_params}. The functions of the plugins container and json are built in, and active even if load_plugins does not name them."`
	LoadPlugins PluginNames `yaml:"load_plugins" doc:"Plugins of the list to use; without the key, all. Only k8saudit depends on it."`

	TimeISO8601  bool              `yaml:"time_format_iso_8601" doc:"Write times in ISO 8601 in UTC instead of local time of day."`
	Base64       bool              `yaml:"buffer_format_base64" doc:"Write data buffers (evt.buffer) in base64."`
	JSON         bool              `yaml:"json_output" doc:"Write alerts as JSON objects, one per line, instead of text."`
	JSONOutput   bool              `yaml:"json_include_output_property" doc:"Include output, the whole text line, in JSON alerts."`
	JSONMessage  bool              `yaml:"json_include_message_property" doc:"Include message, the text without time and priority, in JSON alerts."`
	JSONFields   bool              `yaml:"json_include_output_fields_property" doc:"Include output_fields in JSON alerts."`
	JSONTags     bool              `yaml:"json_include_tags_property" doc:"Include tags in JSON alerts."`
	AppendOutput AppendOutputs     `yaml:"append_output" doc:"Text and fields added to the output of matching rules."`
	StaticFields map[string]string `yaml:"static_fields" doc:"Fixed values for outputs, as %static.KEY."`

	BufferedOutputs bool          `yaml:"buffered_outputs" doc:"Buffer alerts for standard output and files for up to a second. Off: an alert is written within about a millisecond."`
	OutputTimeout   int           `yaml:"output_timeout" min:"1" max:"3600000" doc:"Milliseconds after which the log reports a receiver that does not accept an alert, and its connection is closed. A clean stop waits as long for receivers."`
	OutputsQueue    OutputsQueue  `yaml:"outputs_queue" doc:"The queue in front of each channel."`
	Outputs         Throttle      `yaml:"outputs" doc:"Limit on the rate of alerts. Alerts above it are dropped, counted and reported."`
	Stdout          StdoutOutput  `yaml:"stdout_output" doc:"Alerts on standard output."`
	Syslog          SyslogOutput  `yaml:"syslog_output" doc:"Alerts to the local syslog."`
	File            FileOutput    `yaml:"file_output" doc:"Alerts to a file; reopened on SIGUSR1."`
	HTTP            HTTPOutput    `yaml:"http_output" doc:"Alerts as HTTP POST, one request for each alert."`
	Program         ProgramOutput `yaml:"program_output" doc:"Alerts to the standard input of a program."`
	GRPC            GRPC          `yaml:"grpc" doc:"The gRPC server that Falco had until 0.43."`
	GRPCOutput      GRPCOutput    `yaml:"grpc_output" doc:"Alerts over gRPC."`

	Webserver Webserver  `yaml:"webserver" doc:"HTTP server for health, versions and metrics."`
	Metrics   Metrics    `yaml:"metrics" doc:"Snapshots of the sensor's counters."`
	Drops     EventDrops `yaml:"syscall_event_drops" doc:"Reaction to lost events."`
	Timeouts  Timeouts   `yaml:"syscall_event_timeouts" doc:"Reaction when no events arrive."`

	LogStderr bool   `yaml:"log_stderr" doc:"Log to standard error."`
	LogSyslog bool   `yaml:"log_syslog" doc:"Log to the local syslog."`
	LogLevel  string `yaml:"log_level" oneof:"emergency|alert|critical|error|warning|notice|info|informational|debug" doc:"Lowest priority of messages to log."`

	Peregrine Peregrine `yaml:"peregrine" doc:"Keys that Falco does not have."`

	// Files are the configuration files that were read, in order.
	Files []string `yaml:"-"`
	// Notes are warnings and remarks about the files, for the log.
	Notes []Issue `yaml:"-"`

	sums  map[string]string // by path
	reads *Files            // which the files came from, and the rules files will
}

// Include is one entry of config_files.
type Include struct {
	Path     string `yaml:"path" doc:"A file or directory."`
	Strategy string `yaml:"strategy" oneof:"append|override|add-only" doc:"How to combine its keys with existing ones. Empty: append."`
}

// RuleSwitch is one entry of rules: exactly one of the two is set.
type RuleSwitch struct {
	Enable  *RuleSelector `yaml:"enable" doc:"Rules to enable."`
	Disable *RuleSelector `yaml:"disable" doc:"Rules to disable."`
}

// RuleSelector names rules: exactly one of the two is set.
type RuleSelector struct {
	Rule string `yaml:"rule" doc:"A rule's name, with * for any text."`
	Tag  string `yaml:"tag" doc:"A tag."`
}

// Peregrine holds the keys of our own.
type Peregrine struct {
	StatusSocket    string     `yaml:"status_socket" doc:"Unix socket (mode 0600) that serves 'peregrine sensor status' and 'peregrine sensor top'. Empty: none."`
	QueueMaxBytes   int        `yaml:"queue_max_bytes" min:"65536" max:"1073741824" doc:"Memory in bytes for the alerts in the queue of one channel, in addition to the limit outputs_queue.capacity. Channels share alerts."`
	HTTPConnections int        `yaml:"http_connections" min:"1" max:"64" doc:"Simultaneous connections of http_output. 1 keeps alerts in order."`
	HTTPPipeline    int        `yaml:"http_pipeline" min:"1" max:"256" doc:"Requests in flight on one connection, if the server has kept an HTTP/1.1 connection open before. 1: wait for each answer."`
	GRPCMaxStreams  int        `yaml:"grpc_max_streams" min:"1" max:"65536" doc:"Simultaneous streams of all gRPC clients; further ones are refused."`
	K8sAudit        K8sAudit   `yaml:"k8s_audit" doc:"Kubernetes audit events; takes precedence over the settings of the plugin k8saudit."`
	Recordings      Recordings `yaml:"recordings" doc:"Limits of the recordings that capture makes."`
	Kubernetes      Kubernetes `yaml:"kubernetes" doc:"The Kubernetes API server, for the fields k8s.deployment, k8s.rs, k8s.rc, k8s.svc and k8s.ns. Data about pods comes from the container runtime."`
	Hooks           string     `yaml:"hooks" oneof:"auto|functions|tracepoint" doc:"Where to observe syscalls. tracepoint: at sys_exit, on any kernel. functions: in the kernel functions of the syscalls that rules need; other syscalls then cost nothing, but calls that seccomp answers, even with success, are not seen. If that is not possible: tracepoint. auto: functions, unless rules need most of the host's syscalls. See kernels.md."`
	MetadataWait    int        `yaml:"metadata_wait" min:"0" max:"60000" doc:"Milliseconds that alerts of a container wait for its metadata, counted from its first alert. Alerts of the host never wait. 0: no alert waits."`
}
