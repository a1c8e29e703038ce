package output

import (
	"fmt"
	"time"

	"github.com/peregrine-sec/peregrine/internal/sensor/config"
)

// defaultCapacity is outputs_queue.capacity 0.
const defaultCapacity = 65536

// bufferedGather is how long buffered_outputs lets lines collect.
const bufferedGather = time.Second

func capacity(c *config.Config) int {
	if c.OutputsQueue.Capacity > 0 {
		return c.OutputsQueue.Capacity
	}
	return defaultCapacity
}

func queueFor(c *config.Config, workers int) *queue {
	return newQueue(capacity(c), c.Peregrine.QueueMaxBytes, workers)
}

func timeoutOf(c *config.Config) time.Duration {
	return time.Duration(c.OutputTimeout) * time.Millisecond
}

func gatherOf(c *config.Config) time.Duration {
	if c.BufferedOutputs {
		return bufferedGather
	}
	return gatherFor
}

func openFile(c *config.Config, opt Options) (channel, error) {
	s, err := newFile(c.File.Filename, c.File.KeepAlive, timeoutOf(c))
	if err != nil {
		return nil, fmt.Errorf("file_output.filename: %w", err)
	}
	return newPipe("file", queueFor(c, 1), gatherOf(c), opt.Log, s), nil
}

func openStdout(c *config.Config, opt Options) (channel, error) {
	s, err := newStdout(opt.Stdout)
	if err != nil {
		return nil, err
	}
	return newPipe("stdout", queueFor(c, 1), gatherOf(c), opt.Log, s), nil
}

func openSyslog(c *config.Config, opt Options) (channel, error) {
	return newPipe("syslog", queueFor(c, 1), gatherFor, opt.Log, newSyslog(opt.SyslogPaths, timeoutOf(c))), nil
}

func openProgram(c *config.Config, opt Options) (channel, error) {
	s := newProgram(c.Program.Program, c.Program.KeepAlive, timeoutOf(c), opt.ProgramOutput)
	return newPipe("program", queueFor(c, 1), gatherFor, opt.Log, s), nil
}

func openHTTP(c *config.Config, opt Options) (channel, error) {
	t, err := newHTTPTarget(c, opt.Log)
	if err != nil {
		return nil, fmt.Errorf("http_output: %w", err)
	}
	var senders []sender
	for range c.Peregrine.HTTPConnections {
		senders = append(senders, &httpSender{target: t, depth: 1, ceiling: c.Peregrine.HTTPPipeline})
	}
	return newPipe("http", queueFor(c, len(senders)), gatherFor, opt.Log, senders...), nil
}
