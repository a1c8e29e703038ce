package field

import "strings"

// getopt reads short options as getopt(3) does, but goes on after arguments
// that are no options. Without an index it is the list of options, each
// followed by its value, empty for one that takes none; an unknown option is
// "?", with the option as its value, and so is one whose value is missing, or
// ":" if the options begin with a colon. With an index it is the last value of
// that option.
func getopt(args, options Extractor, index string) Extractor {
	r := &optionReader{}
	visit := r.visit // made once
	read := func(c *Context, yield func(option, value string) bool) bool {
		spec, ok := options.Str(c)
		r.begin(spec, yield)
		return ok && elements(args, c, visit) && r.end()
	}
	if index == "" {
		var next func(string) bool
		pair := func(option, value string) bool { return next(option) && next(value) }
		return Extractor{Type: String, Match: List, Each: func(c *Context, yield func(string) bool) bool {
			next = yield
			return read(c, pair)
		}}
	}
	var last string
	var found bool
	pick := func(option, value string) bool {
		if option == index {
			last, found = value, true
		}
		return true
	}
	return Extractor{Type: String, Str: func(c *Context) (string, bool) {
		last, found = "", false
		read(c, pick)
		return last, found
	}}
}

// optionReader is fed with arguments and yields options.
type optionReader struct {
	spec    string
	missing string // stands for an option without its value
	pending string // option that waits for its value in the next argument
	stopped bool   // by yield
	yield   func(option, value string) bool
}

func (r *optionReader) begin(spec string, yield func(option, value string) bool) {
	*r = optionReader{spec: spec, missing: "?", yield: yield}
	if rest, ok := strings.CutPrefix(spec, ":"); ok {
		r.spec, r.missing = rest, ":"
	}
}

func (r *optionReader) end() bool {
	if r.pending != "" && !r.stopped {
		r.yield(r.missing, r.pending)
	}
	return true
}

// visit takes the next argument, and says whether it wants more.
func (r *optionReader) visit(arg string) bool {
	switch {
	case r.pending != "":
		option := r.pending
		r.pending = ""
		return r.give(option, arg)
	case arg == "--":
		return false
	case len(arg) < 2 || arg[0] != '-':
		return true
	}
	for arg = arg[1:]; arg != ""; arg = arg[1:] {
		option := arg[:1]
		i := strings.Index(r.spec, option)
		takesValue := i >= 0 && i+1 < len(r.spec) && r.spec[i+1] == ':'
		switch {
		case i < 0 || option == ":":
			if !r.give("?", option) {
				return false
			}
		case !takesValue:
			if !r.give(option, "") {
				return false
			}
		case len(arg) > 1:
			return r.give(option, arg[1:])
		default:
			r.pending = option
		}
	}
	return true
}

func (r *optionReader) give(option, value string) bool {
	r.stopped = !r.yield(option, value)
	return !r.stopped
}
