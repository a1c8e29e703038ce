package field

import "strings"

// getopt reads short options as POSIX's getopt does: it stops at the first
// operand and at "--". Long options are skipped. Without an index it is the
// list of options, each followed by its value if it takes one; an unknown
// option is "?", and one whose value is missing is an empty text. With an index
// it is the last value of that option, or the option itself if it takes none.
func getopt(args, options Extractor, index string) Extractor {
	r := &optionReader{}
	visit := r.visit // made once
	read := func(c *Context, give func(option, value string, has bool) bool) bool {
		spec, ok := options.Str(c)
		*r = optionReader{spec: strings.TrimPrefix(spec, ":"), give: give}
		if !ok || !elements(args, c, visit) {
			return false
		}
		if r.pending != "" {
			give(r.pending, "", true)
		}
		return true
	}
	if index == "" {
		var next func(string) bool
		list := func(option, value string, has bool) bool {
			switch {
			case !has:
				return next(option)
			case r.pending != "": // its value is missing
				return next("")
			}
			return next(option) && next(value)
		}
		return Extractor{Type: String, Match: List, Each: func(c *Context, yield func(string) bool) bool {
			next = yield
			return read(c, list)
		}}
	}
	var last string
	var found bool
	pick := func(option, value string, has bool) bool {
		if option == index {
			last, found = value, true
			if !has {
				last = option
			}
		}
		return true
	}
	return Extractor{Type: String, Str: func(c *Context) (string, bool) {
		last, found = "", false
		read(c, pick)
		return last, found
	}}
}

// optionReader is fed with arguments and gives options; has says whether the
// option takes a value.
type optionReader struct {
	spec    string
	pending string // option that waits for its value in the next argument
	give    func(option, value string, has bool) bool
}

// visit takes the next argument, and says whether it wants more.
func (r *optionReader) visit(arg string) bool {
	switch {
	case r.pending != "":
		option := r.pending
		r.pending = ""
		return r.give(option, arg, true)
	case arg == "--", len(arg) < 2, arg[0] != '-':
		return false
	case arg[1] == '-':
		return true
	}
	for arg = arg[1:]; arg != ""; arg = arg[1:] {
		option := arg[:1]
		i := strings.Index(r.spec, option)
		switch {
		case i < 0 || option == ":":
			if !r.give("?", "", false) {
				return false
			}
		case i+1 == len(r.spec) || r.spec[i+1] != ':':
			if !r.give(option, "", false) {
				return false
			}
		case len(arg) > 1:
			return r.give(option, arg[1:], true)
		default:
			r.pending = option
		}
	}
	return true
}
