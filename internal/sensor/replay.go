package sensor

import (
	"context"
	"errors"
)

func (s *sensor) replay(ctx context.Context) error {
	return errors.New("replay is being assembled")
}
