package rest

import (
	"encoding/json"
	"net/url"
)

// Filters writes, for the query of /events, that only these events of
// containers are wanted.
func Filters(events []string) string {
	text, err := json.Marshal(map[string][]string{"type": {"container"}, "event": events})
	if err != nil {
		panic(err) // strings can always be written
	}
	return url.QueryEscape(string(text))
}
