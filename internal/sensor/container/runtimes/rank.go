package runtimes

import (
	"path/filepath"
	"syscall"
)

// userRank is after the ranks of all engines.
const userRank = 100

// rankOf is the rank of metadata from an endpoint: its engine's if the socket
// is root's. A user's runtime ranks after all of root's, and users' rank in the
// order of the configuration, so that none can replace metadata from root's
// runtimes, or from those named before it.
func rankOf(e Endpoint, place int) int {
	if ofRoot(e.Socket) {
		return e.Rank
	}
	return userRank + place
}

// ofRoot says whether only root can have created path: each part of it is
// root's. The owner of the socket alone is not enough: a user can put a link to
// root's socket in its place, and change it later.
func ofRoot(path string) bool {
	var st syscall.Stat_t
	if syscall.Lstat(path, &st) != nil || st.Uid != 0 {
		return false
	}
	parent := filepath.Dir(path)
	return parent == path || ofRoot(parent)
}
