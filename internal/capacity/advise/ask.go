package advise

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// maxAnswer bounds an answer of Prometheus: a day of rates of a thousand
	// nodes.
	maxAnswer = 64 << 20
	// askTimeout is above Prometheus's default time limit of a query, two minutes.
	askTimeout = 3 * time.Minute
)

// Ask asks a Prometheus for rates: target is the URL of a query. Its password is
// in no error.
func Ask(ctx context.Context, target string) (Rates, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return Rates{}, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return Rates{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", resp.Status, text)
	}
	var rates Rates
	if err == nil {
		rates, err = parseQuery(text)
	}
	if err != nil {
		return Rates{}, fmt.Errorf("%s: %w", req.URL.Redacted(), err)
	}
	return rates, nil
}
