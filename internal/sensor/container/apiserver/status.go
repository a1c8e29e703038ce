package apiserver

import (
	"fmt"
	"net/http"
	"strings"
)

// connected notes that the server has listed the node's pods. After a failure
// it is not said before a watch has held.
func (w *Watcher) connected(pods int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listed = pods
	if w.status.Connected {
		return
	}
	w.status.Connected = true
	w.status.Connects++
	if !w.failing {
		w.say()
	}
}

// held notes that a watch lasts.
func (w *Watcher) held() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failing {
		w.failing = false
		w.say()
	}
}

// say logs a success.
func (w *Watcher) say() {
	w.options.Log.Info("Kubernetes API server connected", "server", w.status.Server, "node", w.options.Node, "pods", w.listed)
	if w.listed == 0 {
		w.options.Log.Warn("Kubernetes API server knows no pod of this node; is its name right? See --k8s-node", "node", w.options.Node)
	}
}

// complete notes that all pods of the list have been told, with nothing missing.
func (w *Watcher) complete() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Error, w.noted = "", false
}

// failed notes why a round ended, and logs it unless the rounds before failed too.
func (w *Watcher) failed(err error) {
	w.watched.Store(false)
	w.mu.Lock()
	defer w.mu.Unlock()
	text := explain(err)
	if !w.failing {
		w.options.Log.Warn("Kubernetes API server does not list the pods; retrying", "server", w.status.Server, "error", text)
	}
	w.status.Connected, w.status.Error, w.failing = false, text, true
}

// note keeps why a part of a workload is missing. It is logged once, until
// nothing is missing.
func (w *Watcher) note(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := explain(err)
	if !w.noted {
		w.options.Log.Warn("Kubernetes API server does not send all metadata of a pod", "server", w.status.Server, "error", text)
	}
	w.status.Error, w.noted = text, true
}

// explain adds a remedy to an error.
func explain(err error) string {
	text := "the watch ended at once"
	if err != nil {
		text = err.Error()
	}
	for _, c := range []struct {
		status int
		hint   string
	}{
		{http.StatusUnauthorized, "see -K"},
		{http.StatusForbidden, "give the account the rights of deploy/helm/peregrine/templates/rbac.yaml, or set peregrine.kubernetes.enabled=false"},
	} {
		if strings.Contains(text, fmt.Sprintf("with %d ", c.status)) {
			return text + "; " + c.hint
		}
	}
	return text
}
