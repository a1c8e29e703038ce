package kubernetes

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/peregrine-sec/peregrine/internal/capacity"
	"github.com/peregrine-sec/peregrine/internal/human"
	"github.com/peregrine-sec/peregrine/internal/kubeapi"
	"github.com/peregrine-sec/peregrine/internal/wait"
)

// perform runs a Job to its end and returns the result in its log. tell is
// given the lines before.
func (s *site) perform(ctx context.Context, l load, tell func(line string)) (*capacity.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, l.length+2*grace)
	defer cancel()
	var made struct{ Metadata meta }
	jobs := kubeapi.In("apis/batch/v1", s.Namespace, "jobs")
	if err := s.Client.Create(ctx, jobs, l.job(), &made); err != nil {
		return nil, fmt.Errorf("start the load: %w", err)
	}
	defer func() {
		ctx, cancel := afterwards(ctx)
		defer cancel()
		_ = s.Client.Delete(ctx, jobs+"/"+url.PathEscape(made.Metadata.Name), object{"propagationPolicy": "Background"}) // it has a deadline, and a time to live
	}()
	log := &log{tell: tell}
	for {
		p, err := s.loadPod(ctx, made.Metadata)
		if err != nil {
			return nil, err
		}
		if p != nil && (p.ended() || p.container(loadContainer).State.Running != nil) {
			err := s.readLog(ctx, p, log)
			if log.result != nil {
				return log.result, nil
			}
			switch {
			case p.ended() && err == nil:
				return nil, log.failure(p)
			case p.ended() && errors.Is(err, errResult):
				return nil, err
			}
		}
		if wait.For(ctx, pause) != nil {
			return nil, fmt.Errorf("the load on node %s has not ended: %w%s", l.node, context.Cause(ctx), whyNot(p))
		}
	}
}

func whyNot(p *pod) string {
	if p == nil {
		return ": its Job has no pod"
	}
	return ": " + p.trouble()
}

// loadPod returns the pod of a Job; nil until it exists.
func (s *site) loadPod(ctx context.Context, job meta) (*pod, error) {
	var found list[pod]
	path := kubeapi.In("api/v1", s.Namespace, "pods") + "?labelSelector=" + url.QueryEscape(runLabel+"="+s.id)
	if err := s.Client.Get(ctx, path, &found); err != nil {
		return nil, err
	}
	for i := range found.Items {
		if ownedBy(&found.Items[i].Metadata, job.UID) {
			return &found.Items[i], nil
		}
	}
	var now struct {
		Status struct {
			Conditions []condition `json:"conditions"`
		} `json:"status"`
	}
	err := s.Client.Get(ctx, kubeapi.In("apis/batch/v1", s.Namespace, "jobs", job.Name), &now)
	if kubeapi.Is(err, 404) {
		return nil, errors.New("the Job of the load was deleted")
	}
	if failed := find(now.Status.Conditions, "Failed"); err == nil && failed.Status == "True" {
		err = fmt.Errorf("the Job of the load has failed: %s: %s", failed.Reason, failed.Message)
	}
	if err == nil {
		err = s.refusal(ctx, job.Name)
	}
	return nil, err
}

// refusal is why a Job's controller may make no pod, such as a security policy.
func (s *site) refusal(ctx context.Context, job string) error {
	var found list[struct {
		Reason  string `json:"reason"`
		Message string `json:"message"`
	}]
	selector := "involvedObject.kind=Job,reason=FailedCreate,involvedObject.name=" + job
	err := s.Client.Get(ctx, kubeapi.In("api/v1", s.Namespace, "events")+"?fieldSelector="+url.QueryEscape(selector), &found)
	if err != nil || len(found.Items) == 0 {
		return nil // events are for the reason only
	}
	return refuse("%s", "the load gets no pod: "+found.Items[0].Message)
}

// followFor bounds one reading of a log: a kubelet under load may not notice that
// the container has ended, and keeps the stream open.
const followFor = 10 * time.Second

// readLog reads the log of a pod from its beginning, and follows that of one that
// runs for a while.
func (s *site) readLog(ctx context.Context, p *pod, l *log) error {
	ctx, cancel := context.WithTimeout(ctx, followFor)
	defer cancel()
	path := kubeapi.In("api/v1", p.Metadata.Namespace, "pods", p.Metadata.Name, "log") + "?container=" + loadContainer
	if !p.ended() {
		path += "&follow=true"
	}
	stream, err := s.Client.Stream(ctx, path)
	if err != nil {
		return err
	}
	defer stream.Close()
	return l.read(stream)
}

// log is the output of a load: lines for people, then the result as JSON.
type log struct {
	tell   func(line string)
	told   int    // lines, by earlier readings
	last   string // that was told
	result *capacity.Result
}

// errResult is a result that cannot be read, however often one tries.
var errResult = errors.New("result of the load")

// maxLog bounds a log. Those of many hours have some megabytes.
const maxLog = 64 << 20

// read reads a log from its beginning. The lines that an earlier reading has
// told are not told again. The result is indented so that its lines can be told
// from others: a runtime copies standard output and standard error separately,
// and the end of one may arrive in the middle of the other.
func (l *log) read(r io.Reader) error {
	left := &io.LimitedReader{R: r, N: maxLog}
	lines := bufio.NewReader(left)
	var result []byte
	for n := 1; ; n++ {
		line, err := lines.ReadString('\n')
		text := strings.TrimSpace(line)
		switch {
		case text == "":
		case line[0] == '{' || len(result) > 0 && strings.ContainsRune(" }", rune(line[0])):
			result = append(result, line...)
			if line[0] == '}' || len(result) == len(line) && json.Valid(result) {
				return l.decode(result)
			}
		case n > l.told:
			l.told, l.last = n, text
			l.tell(text)
		}
		if errors.Is(err, io.EOF) {
			if left.N == 0 {
				return fmt.Errorf("%w: its log has more than %d MiB", errResult, maxLog>>20)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("log of the load: %w", err)
		}
	}
}

func (l *log) decode(text []byte) error {
	var result capacity.Result
	if err := json.Unmarshal(text, &result); err != nil {
		return fmt.Errorf("%w: %w", errResult, err)
	}
	human.Texts(&result)
	l.result = &result
	return nil
}

// exitPreflight is the exit code of a capacity run whose conditions do not hold.
const exitPreflight = 3

// failure is why a load that has ended has no result.
func (l *log) failure(p *pod) error {
	said := strings.TrimPrefix(l.last, "Error: ")
	t := p.container(loadContainer).State.Terminated
	switch {
	case t == nil:
		return fmt.Errorf("the load ended without a result: %s", p.trouble())
	case t.ExitCode == exitPreflight:
		return refuse("%s", strings.TrimPrefix(said, "preflight: "))
	}
	return fmt.Errorf("the load ended without a result (%s, exit code %d): %s", t.Reason, t.ExitCode, said)
}
