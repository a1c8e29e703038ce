package output

import (
	"cmp"
	"fmt"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
)

// maker opens one kind of channel. Section is compared to find out whether a
// new configuration changes it.
type maker struct {
	name    string
	enabled func(*config.Config) bool
	section func(*config.Config) any
	// open takes over shared resources from was, the channel that it
	// replaces, such as a listening socket; was may be nil.
	open func(c *config.Config, opt Options, was channel) (channel, error)
}

// makers are the channels in Falco's order.
var makers = []maker{
	{
		"file", func(c *config.Config) bool { return c.File.Enabled },
		func(c *config.Config) any { return c.File }, openFile,
	},
	{
		"stdout", func(c *config.Config) bool { return c.Stdout.Enabled },
		func(c *config.Config) any { return c.Stdout }, openStdout,
	},
	{
		"syslog", func(c *config.Config) bool { return c.Syslog.Enabled },
		func(c *config.Config) any { return c.Syslog }, openSyslog,
	},
	{
		"program", func(c *config.Config) bool { return c.Program.Enabled },
		func(c *config.Config) any { return c.Program }, openProgram,
	},
	{
		"http", func(c *config.Config) bool { return c.HTTP.Enabled },
		func(c *config.Config) any { return c.HTTP }, openHTTP,
	},
	{
		"grpc", func(c *config.Config) bool { return c.GRPC.Enabled },
		func(c *config.Config) any { return [2]any{c.GRPC, c.GRPCOutput} }, openGRPC,
	},
}

// bufferedGather is how long buffered_outputs lets lines collect.
const bufferedGather = time.Second

func capacity(c *config.Config) int { return cmp.Or(c.OutputsQueue.Capacity, 65536) }

func queueFor(c *config.Config, workers int) *queue {
	return newQueue(capacity(c), c.Peregrine.QueueMaxBytes, workers)
}

func gatherOf(c *config.Config) time.Duration {
	if c.BufferedOutputs {
		return bufferedGather
	}
	return gatherFor
}

func openFile(c *config.Config, opt Options, _ channel) (channel, error) {
	s, err := newFile(c.File.Filename, c.File.KeepAlive, timeoutOf(c))
	if err != nil {
		return nil, fmt.Errorf("file_output.filename: %w", err)
	}
	return newPipe("file", queueFor(c, 1), gatherOf(c), opt.Log, s), nil
}

func openStdout(c *config.Config, opt Options, _ channel) (channel, error) {
	s, err := newStdout(opt.Stdout, timeoutOf(c))
	if err != nil {
		return nil, err
	}
	return newPipe("stdout", queueFor(c, 1), gatherOf(c), opt.Log, s), nil
}

func openSyslog(c *config.Config, opt Options, _ channel) (channel, error) {
	s := &syslog{paths: opt.SyslogPaths, timeout: timeoutOf(c)}
	if s.absent() {
		opt.Log.Info("syslog_output: no syslog daemon here; its alerts are counted as refused until there is one", "socket", opt.SyslogPaths[0])
	}
	return newPipe("syslog", queueFor(c, 1), gatherFor, opt.Log, s), nil
}

func openProgram(c *config.Config, opt Options, _ channel) (channel, error) {
	s := &program{command: c.Program.Program, keepAlive: c.Program.KeepAlive, timeout: timeoutOf(c), output: opt.ProgramOutput}
	return newPipe("program", queueFor(c, 1), gatherFor, opt.Log, s), nil
}

func openHTTP(c *config.Config, opt Options, _ channel) (channel, error) {
	t, err := newHTTPTarget(c, opt.Log)
	if err != nil {
		return nil, fmt.Errorf("http_output: %w", err)
	}
	var senders []sender
	for range c.Peregrine.HTTPConnections {
		senders = append(senders, &httpSender{target: t, depth: 1, ceiling: c.Peregrine.HTTPPipeline})
	}
	p := newPipe("http", queueFor(c, len(senders)), gatherFor, opt.Log, senders...)
	p.uncertain = &t.uncertain
	return p, nil
}
