package container

import (
	"testing"

	"github.com/peregrine-sec/peregrine/internal/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }
