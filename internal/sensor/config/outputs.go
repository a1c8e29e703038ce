package config

// OutputsQueue bounds the alerts that wait for one channel.
type OutputsQueue struct {
	Capacity int `yaml:"capacity" min:"0" max:"1048576" doc:"Maximum number of alerts in the queue of each channel; 0: 65536. Further alerts are dropped for that channel, counted and reported. (In Falco, 0 means unbounded.)"`
}

// Throttle is a token bucket over all alerts.
type Throttle struct {
	Rate     float64 `yaml:"rate" min:"0" max:"1e9" doc:"Average alerts per second; 0: no limit."`
	MaxBurst float64 `yaml:"max_burst" min:"0" max:"1e9" doc:"Alerts that may pass at once after a quiet period."`
}

// StdoutOutput configures alerts on standard output.
type StdoutOutput struct {
	Enabled bool `yaml:"enabled" doc:"Enable this channel. Default: enabled if no other channel is."`
}

// SyslogOutput configures alerts to the local syslog.
type SyslogOutput struct {
	Enabled bool `yaml:"enabled" doc:"Enable this channel."`
}

// FileOutput configures alerts to a file.
type FileOutput struct {
	Enabled   bool   `yaml:"enabled" doc:"Enable this channel."`
	KeepAlive bool   `yaml:"keep_alive" doc:"Keep the file open; otherwise it is opened for each batch of alerts."`
	Filename  string `yaml:"filename" doc:"The file, created with mode 0600 and appended to."`
}

// ProgramOutput configures alerts to a program.
type ProgramOutput struct {
	Enabled   bool   `yaml:"enabled" doc:"Enable this channel."`
	KeepAlive bool   `yaml:"keep_alive" doc:"Start the program once, write all alerts to it, and restart it if it exits. Otherwise, start it for each alert."`
	Program   string `yaml:"program" doc:"A command line for /bin/sh."`
}

// HTTPOutput configures alerts as HTTP POST.
type HTTPOutput struct {
	Enabled         bool   `yaml:"enabled" doc:"Enable this channel."`
	URL             string `yaml:"url" doc:"URL to post to."`
	UserAgent       string `yaml:"user_agent" doc:"The User-Agent header."`
	Insecure        bool   `yaml:"insecure" doc:"Do not verify the server's certificate."`
	CACert          string `yaml:"ca_cert" doc:"File with the only certificate authority to trust; takes precedence over ca_bundle and ca_path."`
	CABundle        string `yaml:"ca_bundle" doc:"File with certificate authorities to trust; takes precedence over ca_path."`
	CAPath          string `yaml:"ca_path" doc:"Directory of certificate authorities to trust."`
	MTLS            bool   `yaml:"mtls" doc:"Present client_cert to the server."`
	ClientCert      string `yaml:"client_cert" doc:"Certificate for mtls."`
	ClientKey       string `yaml:"client_key" doc:"Key for mtls."`
	Echo            bool   `yaml:"echo" doc:"Log the server's answers."`
	CompressUploads bool   `yaml:"compress_uploads" doc:"Send bodies with Content-Encoding: gzip. The receiver must understand it."`
	KeepAlive       bool   `yaml:"keep_alive" doc:"Send TCP keep-alive probes. Connections are reused in any case."`
	MaxTimeouts     int    `yaml:"max_consecutive_timeouts" min:"0" max:"255" doc:"Retries for an alert that the server does not answer within output_timeout. After these, it is dropped and counted."`
}

// GRPC configures the gRPC server.
type GRPC struct {
	Enabled     bool   `yaml:"enabled" doc:"Serve gRPC."`
	BindAddress string `yaml:"bind_address" doc:"unix:///PATH (mode 0600), or ADDRESS:PORT with mutual TLS."`
	Threadiness int    `yaml:"threadiness" min:"0" max:"1024" doc:"Goroutines that serve requests; 0: one for each CPU."`
	PrivateKey  string `yaml:"private_key" doc:"The server's key, for ADDRESS:PORT."`
	CertChain   string `yaml:"cert_chain" doc:"The server's certificate chain."`
	RootCerts   string `yaml:"root_certs" doc:"Authorities that sign clients' certificates. A client without one is refused."`
}

// GRPCOutput configures alerts over gRPC.
type GRPCOutput struct {
	Enabled bool `yaml:"enabled" doc:"Serve alerts. They wait for a client in the channel's queue."`
}

// AppendOutput adds to the output of rules that match.
type AppendOutput struct {
	Match           AppendMatch `yaml:"match" doc:"Rules to extend. All given conditions must hold; without any: every rule."`
	ExtraOutput     string      `yaml:"extra_output" doc:"Text to add to the output."`
	ExtraFields     ExtraFields `yaml:"extra_fields" doc:"Fields to add to output_fields: the name of a field (adds its typed value), or {NAME: FORMAT} (adds text)."`
	SuggestedOutput bool        `yaml:"suggested_output" doc:"Add the container and its pod to the output: container.id, container.name, container.image.repository, container.image.tag, k8s.pod.name, k8s.ns.name. The key append_output replaces this default."`
}

// AppendOutputs are all that is added.
type AppendOutputs []AppendOutput

// ExtraFields are the fields of one addition.
type ExtraFields []ExtraField

// AppendMatch selects rules.
type AppendMatch struct {
	Source string   `yaml:"source" doc:"The rule's source."`
	Tags   []string `yaml:"tags" doc:"Tags that the rule must have."`
	Rule   string   `yaml:"rule" doc:"The rule's name."`
}

// ExtraField is a raw field (Format empty: its typed value) or a formatted one.
type ExtraField struct {
	Name   string
	Format string
}
