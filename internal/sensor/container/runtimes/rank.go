package runtimes

import (
	"path/filepath"
	"syscall"
)

// userRank is after the ranks of all engines.
const userRank = 100

// rankOf is the rank of what an endpoint tells: its engine's if the socket is
// root's. A user's runtime comes after all of root's, and users' come in the
// order in which the configuration names them, so that none can replace what
// root's runtimes, or those named before it, tell of a container.
func rankOf(e Endpoint, place int) int {
	if ofRoot(e.Socket) {
		return e.Rank
	}
	return userRank + place
}

// ofRoot says whether nobody but root can have put something at path: each
// part of it is root's. The owner of the socket alone does not tell: a user
// can put a link to root's socket in its place, and change it later.
func ofRoot(path string) bool {
	var st syscall.Stat_t
	if syscall.Lstat(path, &st) != nil || st.Uid != 0 {
		return false
	}
	parent := filepath.Dir(path)
	return parent == path || ofRoot(parent)
}
