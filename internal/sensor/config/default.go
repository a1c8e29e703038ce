package config

import "time"

// DefaultPath is read when no file is given, if it exists.
const DefaultPath = "/etc/falco/falco.yaml"

// DefaultStatusSocket serves status and top.
const DefaultStatusSocket = "/run/peregrine/sensor.sock"

// Default is the configuration of an empty file: Falco's shipped defaults,
// but with private sockets, a web server that is off and on loopback, and
// alerts on standard output only.
func Default() *Config {
	return &Config{
		WatchConfigFiles: true,
		Priority:         "debug",
		RuleMatch:        "first",
		Engine: Engine{
			Kind:   "modern_ebpf",
			Modern: ModernEBPF{CPUsForEachBuffer: 2, BufSizePreset: 4},
		},
		FalcoLibs:  FalcoLibs{ThreadTableSize: 262144, PurgeInterval: 300, PurgeTimeout: 300, Snaplen: 80},
		Plugins:    defaultPlugins(),
		Capture:    Capture{PathPrefix: "/tmp/falco", Mode: "rules", Duration: 5000},
		JSONOutput: true, JSONFields: true, JSONTags: true,
		AppendOutput:  AppendOutputs{{SuggestedOutput: true}},
		OutputTimeout: 2000,
		Outputs:       Throttle{MaxBurst: 1000},
		Stdout:        StdoutOutput{Enabled: true},
		File:          FileOutput{Filename: "./events.txt"},
		HTTP: HTTPOutput{
			UserAgent: "falcosecurity/falco", CAPath: "/etc/ssl/certs", MaxTimeouts: 5,
			ClientCert: "/etc/ssl/certs/client.crt", ClientKey: "/etc/ssl/certs/client.key",
		},
		GRPC: GRPC{
			BindAddress: "unix:///run/falco/falco.sock",
			PrivateKey:  "/etc/falco/certs/server.key", CertChain: "/etc/falco/certs/server.crt",
			RootCerts: "/etc/falco/certs/ca.crt",
		},
		Webserver: Webserver{
			ListenPort: 8765, ListenAddress: "127.0.0.1", HealthEndpoint: "/healthz",
			SSLCertificate: "/etc/falco/falco.pem",
		},
		Metrics: Metrics{
			Interval: Interval(time.Hour), OutputRule: true, Rules: true, Resources: true,
			State: true, Kernel: true, ConvertToMB: true,
		},
		Drops: EventDrops{
			Threshold: 0.1, Actions: []string{"log", "alert"}, Rate: 0.03333, MaxBurst: 1,
		},
		Timeouts:  Timeouts{MaxConsecutives: 1000},
		LogStderr: true,
		LogLevel:  "info",
		Peregrine: Peregrine{
			StatusSocket: DefaultStatusSocket, QueueMaxBytes: 64 << 20,
			HTTPConnections: 2, HTTPPipeline: 256, GRPCMaxStreams: 128, MetadataWait: 500, Hooks: "tracepoint",
			K8sAudit:   K8sAudit{Patience: 10_000},
			Recordings: Recordings{Files: 20, TotalMB: 1024, BufferMB: 16},
			Kubernetes: Kubernetes{Enabled: true},
		},
	}
}
