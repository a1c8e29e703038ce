// Command falcoplayer stands in for a Falco 0.44.1 where none is installed:
//
//	go build -o bin/falcoplayer ./test/falcoplayer
//	sudo FALCO_PLAYER_SENSOR=$PWD/bin/peregrine bin/peregrine capacity run --quick --sensor falco --falco bin/falcoplayer --cpu 0.25,0.5,1
//
// See package player for its behaviour.
package main

import (
	"os"

	"github.com/peregrine-sec/peregrine/test/support/player"
)

func main() { os.Exit(player.Main(os.Args[1:])) }
