package capture

import (
	"unsafe"

	"github.com/peregrine-sec/peregrine/internal/sensor/event"
)

// maxEntry is the longest entry into a syscall that is kept for its exit, as
// in Falco.
const maxEntry = 4096

// event takes in one event block: nil if it makes no event.
func (r *Reader) event(typ uint32, body []byte) ([]byte, error) {
	e := &r.raw
	if err := e.parse(typ, body, r.vals.order); err != nil {
		return nil, err
	}
	if r.hasWire(e.tail) {
		return r.wire(e.tail)
	}
	if int(e.code) >= len(codes) || codes[e.code].role == skipped {
		r.skipped++
		return nil, nil
	}
	c := &codes[e.code]
	if c.role == entry {
		if e.n > 0 && len(body) <= maxEntry {
			t := r.world.get(e.tid)
			t.entry, t.entryBlock = e.code, typ
			t.entryBody = append(t.entryBody[:0], body...)
		}
		return nil, nil
	}
	info := c.kind.Info()
	clear(r.vals.v[:len(info.Params)])
	r.vals.set(e, c)
	if c.entry && e.n < len(info.Params) {
		if err := r.fillFromEntry(e); err != nil {
			return nil, err
		}
	}
	if r.unlinked {
		r.world.link()
		r.unlinked = false
	}
	return r.convert(e, c.kind), nil
}

// fillFromEntry fills parameters missing from the exit event from the entry of
// the same call.
func (r *Reader) fillFromEntry(e *rawEvent) error {
	t := r.world.threads[e.tid]
	if t == nil || t.entry != e.code-1 || len(t.entryBody) == 0 {
		return nil
	}
	t.entry = 0
	if err := r.stash.parse(t.entryBlock, t.entryBody, r.vals.order); err != nil {
		return err
	}
	r.vals.fillIn(&r.stash, &codes[r.stash.code])
	return nil
}

// convert makes the event of the parameters in r.vals.
func (r *Reader) convert(e *rawEvent, k event.Kind) []byte {
	r.file, r.given = nil, false
	var t *thread
	h := event.Header{Time: e.ts, CPU: e.cpu, Syscall: event.NoSyscall}
	switch plan := &plans[k]; {
	case isClone(k):
		t = r.clone(e)
	case plan.noThread:
	default:
		t = r.world.get(e.tid)
		if k == event.KindExecveat && r.vals.int(0) >= 0 {
			k = event.KindExecve // the kernel reports a successful one as execve
			clear(r.vals.v[len(event.KindExecveat.Info().Params):len(k.Info().Params)])
		}
		if k == event.KindExecve {
			r.exec(t)
		}
		if f := effects[k]; f != nil {
			f(r, t)
		}
		if k == event.KindProcexit && r.exit(t) {
			h.Flags |= event.ThreadExit
		}
	}
	plan, info := &plans[k], k.Info()
	if t != nil {
		flags := h.Flags
		h = t.header(e.ts, e.cpu)
		h.Flags = flags
	}
	h.Syscall = kindSyscall[k]
	if k == event.KindSyscall {
		h.Syscall = r.syscall(&r.vals)
	}
	if plan.result {
		h.Res = r.vals.int(0)
	}
	r.main.Start(k, h)
	r.build(&r.main, info)
	if t != nil {
		r.addExtras(t, plan, info)
		if k == event.KindExecve && h.Res >= 0 {
			r.completeExec(&r.main, t)
		}
	}
	return r.main.Finish()
}

// plan describes the conversion of events of a kind.
type plan struct {
	result   bool // parameter 0 is the return value
	noThread bool // the event is of no thread
	bases    [2]pathParam
	extras   []extra
}

// pathParam is a path that may be relative: its base, the path's slot, and the
// slot of the directory's descriptor; -1 for none, or the current directory.
type pathParam struct{ base, path, dirfd int }

type extra struct {
	slot int
	what extraKind
}

type extraKind uint8

const (
	extraCWD extraKind = iota
	extraRoot
	extraInh
	extraPerm
	extraEff
	extraSID
	extraPGID
	extraVPGID
)

var extraNames = map[string]extraKind{
	"cwd": extraCWD, "root": extraRoot, "cur_inheritable": extraInh, "cur_permitted": extraPerm, "cur_effective": extraEff,
	"sid": extraSID, "pgid": extraPGID, "cur_pgid": extraPGID, "vpgid": extraVPGID,
}

var plans = func() (plans [event.NumKinds]plan) {
	for k := range plans {
		kind := event.Kind(k)
		info, p := kind.Info(), &plans[k]
		p.noThread = info.Origin == event.Meta
		if len(info.Params) > 0 && info.Origin == event.Syscall {
			switch first := info.Params[0]; first.Type {
			case event.Errno, event.FD, event.PID, event.Int64:
				p.result = first.Name == "res" || first.Name == "fd"
			}
			p.result = p.result || kind == event.KindBrk
		}
		p.bases = pathsOf(info)
		for i, x := range info.Extras {
			what, ok := extraNames[x.Name]
			if ok && kind != event.KindExecve && kind != event.KindExecveat {
				p.extras = append(p.extras, extra{len(info.Params) + i, what})
			}
		}
	}
	return plans
}()

// pathsOf finds the paths that the extras base and base2 are about, and the
// parameters before them that name a directory.
func pathsOf(info *event.Info) (of [2]pathParam) {
	of[0], of[1] = pathParam{info.Base, -1, -1}, pathParam{info.Base2, -1, -1}
	n := 0
	for i, p := range info.Params {
		if (p.Type != event.Path && p.Type != event.RelPath) || n == len(of) {
			continue
		}
		of[n].path = i
		if p.Type == event.RelPath && i > 0 && info.Params[i-1].Type == event.FD {
			of[n].dirfd = i - 1
		}
		n++
	}
	return of
}

// addExtras adds the extra parameters, which the kernel would fill in.
func (r *Reader) addExtras(t *thread, plan *plan, info *event.Info) {
	b, p := &r.main, t.p
	for i := range plan.bases {
		pp := &plan.bases[i]
		if pp.base < 0 || pp.path < 0 {
			continue
		}
		if path := r.vals.v[pp.path]; len(path) > 0 && path[0] != '/' {
			if base := r.base(t, pp.dirfd); base != "" {
				b.Str(pp.base, base)
			}
		}
	}
	for _, x := range plan.extras {
		switch x.what {
		case extraCWD:
			if p.cwd != "" {
				b.Str(x.slot, p.cwd)
			}
		case extraRoot:
			b.Str(x.slot, p.root)
		case extraInh:
			b.Uint(x.slot, p.inh)
		case extraPerm:
			b.Uint(x.slot, p.perm)
		case extraEff:
			b.Uint(x.slot, p.eff)
		case extraSID:
			b.Int(x.slot, int64(p.sid))
		case extraPGID:
			b.Int(x.slot, int64(p.pgid))
		case extraVPGID:
			b.Int(x.slot, int64(p.vpgid))
		}
	}
	if info.File >= 0 {
		r.addFile(t, info)
	}
}

func (r *Reader) addFile(t *thread, info *event.Info) {
	f := r.file
	if f == nil && info.FD >= 0 && r.vals.has(info.FD) {
		f = t.p.fds.get(r.vals.int(info.FD))
	}
	if f != nil {
		r.scratch = f.data(r.scratch[:0], !r.given)
		r.main.File(info.File, f.info, r.scratch)
	}
}

// base is the directory that a relative path starts from; "" if it is not
// known.
func (r *Reader) base(t *thread, dirfd int) string {
	const atFDCWD = -100
	if dirfd < 0 {
		return t.p.cwd
	}
	n := r.vals.int(dirfd)
	if n == atFDCWD && r.vals.has(dirfd) {
		return t.p.cwd
	}
	if f := t.p.fds.get(n); f != nil && r.vals.has(dirfd) {
		return f.name
	}
	return ""
}

// absolute is a path that is relative to the descriptor in slot dirfd, as an
// absolute path; as it is, if the directory is not known.
func (r *Reader) absolute(t *thread, dirfd int, path []byte) []byte {
	if len(path) > 0 && path[0] == '/' {
		return r.join("", path)
	}
	base := r.base(t, dirfd)
	if base == "" {
		return path
	}
	return r.join(base, path)
}

// join joins base and path and resolves ".", ".." and repeated slashes. The
// result is valid until the next call.
func (r *Reader) join(base string, path []byte) []byte {
	b := r.joined[:0]
	if len(path) > 0 && path[0] == '/' {
		if !needsCleaning(path) {
			return path
		}
		base = ""
	}
	b = appendClean(b, unsafe.Slice(unsafe.StringData(base), len(base)))
	b = appendClean(b, path)
	if len(b) == 0 {
		b = append(b, '/')
	}
	r.joined = b
	return b
}

func needsCleaning(path []byte) bool {
	for i := range path {
		if path[i] == '/' && (i+1 == len(path) || path[i+1] == '/' || path[i+1] == '.') {
			return len(path) > 1
		}
	}
	return false
}

// appendClean appends the components of path, each after a slash.
func appendClean(b, path []byte) []byte {
	for i := 0; i < len(path); {
		j := i
		for j < len(path) && path[j] != '/' {
			j++
		}
		switch part := path[i:j]; {
		case len(part) == 0 || string(part) == ".":
		case string(part) == "..":
			for len(b) > 0 && b[len(b)-1] != '/' {
				b = b[:len(b)-1]
			}
			b = b[:max(len(b)-1, 0)]
		default:
			b = append(append(b, '/'), part...)
		}
		i = j + 1
	}
	return b
}
