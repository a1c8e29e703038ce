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
	WatchConfigFiles bool      `yaml:"watch_config_files" doc:"Reload when a configuration or rules file changes. The new files are validated first; bad ones leave the running configuration in force."`

	RulesFiles []string     `yaml:"rules_files" doc:"Rules files and directories, in order. Empty: the rules inside the binary. The old name rules_file is read too."`
	Rules      []RuleSwitch `yaml:"rules" doc:"Switches rules on and off after loading, in sequence. Each entry is {enable: X} or {disable: X}, where X is {rule: WILDCARD} or {tag: NAME}."`
	Priority   string       `yaml:"priority" oneof:"emergency|alert|critical|error|warning|notice|informational|info|debug" doc:"Rules less urgent than this are not loaded."`
	RuleMatch  string       `yaml:"rule_matching" oneof:"first|all" refused:"Unknown rule matching strategy" doc:"first: an event alerts for the first rule that matches; all: for every one."`

	Engine       Engine       `yaml:"engine" doc:"Where events come from."`
	BaseSyscalls BaseSyscalls `yaml:"base_syscalls" doc:"Syscalls to observe beyond those that rules name."`
	FalcoLibs    FalcoLibs    `yaml:"falco_libs" doc:"Limits of the state that the sensor keeps."`
	Capture      Capture      `yaml:"capture" doc:"Record events around alerts to .scap files."`

	Plugins     Plugins     `yaml:"plugins" doc:"Settings of Falco's plugins, as a list of {name, init_config, open_params}. What the plugins container and json do is built in, and done whether or not load_plugins names them."`
	LoadPlugins PluginNames `yaml:"load_plugins" doc:"Plugins of the list that are used; without the key, all. It matters for k8saudit only."`

	TimeISO8601  bool              `yaml:"time_format_iso_8601" doc:"Write times in ISO 8601 in UTC instead of local time of day."`
	Base64       bool              `yaml:"buffer_format_base64" doc:"Write data buffers (evt.buffer) in base64."`
	JSON         bool              `yaml:"json_output" doc:"Alerts as JSON objects, one a line, instead of text."`
	JSONOutput   bool              `yaml:"json_include_output_property" doc:"JSON alerts carry output, the whole text line."`
	JSONMessage  bool              `yaml:"json_include_message_property" doc:"JSON alerts carry message, the text without time and priority."`
	JSONFields   bool              `yaml:"json_include_output_fields_property" doc:"JSON alerts carry output_fields."`
	JSONTags     bool              `yaml:"json_include_tags_property" doc:"JSON alerts carry tags."`
	AppendOutput AppendOutputs     `yaml:"append_output" doc:"Text and fields added to the output of matching rules."`
	StaticFields map[string]string `yaml:"static_fields" doc:"Fixed values, available to outputs as %static.KEY."`

	BufferedOutputs bool          `yaml:"buffered_outputs" doc:"Let standard output and files collect alerts for up to a second before they write. Off: an alert is written within about a millisecond."`
	OutputTimeout   int           `yaml:"output_timeout" min:"1" max:"3600000" doc:"Milliseconds after which a receiver that does not take an alert is reported, and its connection given up; also how long a clean stop waits for receivers."`
	OutputsQueue    OutputsQueue  `yaml:"outputs_queue" doc:"The queue in front of each channel."`
	Outputs         Throttle      `yaml:"outputs" doc:"Limit on the rate of alerts. What it holds back is counted and reported."`
	Stdout          StdoutOutput  `yaml:"stdout_output" doc:"Alerts on standard output."`
	Syslog          SyslogOutput  `yaml:"syslog_output" doc:"Alerts to the local syslog."`
	File            FileOutput    `yaml:"file_output" doc:"Alerts to a file; opened anew on SIGUSR1."`
	HTTP            HTTPOutput    `yaml:"http_output" doc:"Alerts as HTTP POST, one request for each alert."`
	Program         ProgramOutput `yaml:"program_output" doc:"Alerts to the standard input of a program."`
	GRPC            GRPC          `yaml:"grpc" doc:"The gRPC server that Falco had until 0.43."`
	GRPCOutput      GRPCOutput    `yaml:"grpc_output" doc:"Alerts over gRPC."`

	Webserver Webserver  `yaml:"webserver" doc:"HTTP server for health, versions and metrics."`
	Metrics   Metrics    `yaml:"metrics" doc:"Snapshots of the sensor's counters."`
	Drops     EventDrops `yaml:"syscall_event_drops" doc:"What to do when events are lost."`
	Timeouts  Timeouts   `yaml:"syscall_event_timeouts" doc:"What to do when no events arrive."`

	LogStderr bool   `yaml:"log_stderr" doc:"Log to standard error."`
	LogSyslog bool   `yaml:"log_syslog" doc:"Log to the local syslog."`
	LogLevel  string `yaml:"log_level" oneof:"emergency|alert|critical|error|warning|notice|info|informational|debug" doc:"Least urgent log message that is written."`

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
	Strategy string `yaml:"strategy" oneof:"append|override|add-only" doc:"How its keys meet those already there; append if not given."`
}

// RuleSwitch is one entry of rules: exactly one of the two is set.
type RuleSwitch struct {
	Enable  *RuleSelector `yaml:"enable" doc:"Rules to switch on."`
	Disable *RuleSelector `yaml:"disable" doc:"Rules to switch off."`
}

// RuleSelector names rules: exactly one of the two is set.
type RuleSelector struct {
	Rule string `yaml:"rule" doc:"A rule's name, with * for any text."`
	Tag  string `yaml:"tag" doc:"A tag."`
}

// Peregrine holds the keys of our own.
type Peregrine struct {
	StatusSocket    string     `yaml:"status_socket" doc:"Unix socket (mode 0600) that serves 'peregrine sensor status' and 'peregrine sensor top'. Empty: none."`
	QueueMaxBytes   int        `yaml:"queue_max_bytes" min:"65536" max:"1073741824" doc:"Memory in bytes that the alerts in front of one channel may hold, beside outputs_queue.capacity. Channels share alerts."`
	HTTPConnections int        `yaml:"http_connections" min:"1" max:"64" doc:"Connections that http_output uses at the same time. One keeps alerts in order."`
	HTTPPipeline    int        `yaml:"http_pipeline" min:"1" max:"256" doc:"Requests that may be under way on one connection; used only with servers that have shown that they keep HTTP/1.1 connections open. 1: wait for each answer."`
	GRPCMaxStreams  int        `yaml:"grpc_max_streams" min:"1" max:"65536" doc:"Streams that gRPC clients may have open together; further ones are refused."`
	K8sAudit        K8sAudit   `yaml:"k8s_audit" doc:"Kubernetes audit events, where plugins does not say it, or not all."`
	Recordings      Recordings `yaml:"recordings" doc:"Bounds of what capture records."`
	Kubernetes      Kubernetes `yaml:"kubernetes" doc:"The Kubernetes API server, for the fields k8s.deployment, k8s.rs, k8s.rc, k8s.svc and k8s.ns. Pods themselves are known from the container runtime."`
	Hooks           string     `yaml:"hooks" oneof:"auto|functions|tracepoint" doc:"Where syscalls are seen. tracepoint: all pass sys_exit, on any kernel. functions: those that rules look at are hooked by their own functions, and the others cost nothing, but calls that seccomp answers, be it with success, are not seen; where that is not possible, tracepoint. auto: functions unless rules look at most of the host's syscalls. See kernels.md."`
	MetadataWait    int        `yaml:"metadata_wait" min:"0" max:"60000" doc:"Milliseconds that an alert of a container waits for the container's metadata, from the container's first alert on. Alerts of the host never wait. 0: none waits."`
}
