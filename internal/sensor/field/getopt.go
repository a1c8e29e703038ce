package field

import "strings"

// getopt reads short options as getopt(3) does, but goes on after arguments
// that are no options. Without an index it is the list of options, each
// followed by its value, empty for one that takes none; an unknown option is
// "?", with the option as its value, and so is one whose value is missing, or
// ":" if the options begin with a colon. With an index it is the last value of
// that option.
func getopt(args, options Extractor, index string) Extractor {
	each := func(c *Context, yield func(option, value string) bool) bool {
		spec, ok := options.Str(c)
		return ok && eachOption(args, spec, c, yield)
	}
	if index == "" {
		return Extractor{Type: String, Match: List, Each: func(c *Context, yield func(string) bool) bool {
			return each(c, func(option, value string) bool { return yield(option) && yield(value) })
		}}
	}
	return Extractor{Type: String, Str: func(c *Context) (string, bool) {
		last, found := "", false
		each(c, func(option, value string) bool {
			if option == index {
				last, found = value, true
			}
			return true
		})
		return last, found
	}}
}

func eachOption(args Extractor, spec string, c *Context, yield func(option, value string) bool) bool {
	missing := "?"
	if strings.HasPrefix(spec, ":") {
		missing, spec = ":", spec[1:]
	}
	pending, more := "", true // an option that waits for its value in the next argument
	ok := elements(args, c, func(arg string) bool {
		switch {
		case pending != "":
			more = yield(pending, arg)
			pending = ""
			return more
		case arg == "--":
			return false
		case len(arg) < 2 || arg[0] != '-':
			return true
		}
		for arg = arg[1:]; arg != ""; arg = arg[1:] {
			option := arg[:1]
			i := strings.Index(spec, option)
			switch {
			case i < 0 || option == ":":
				more = yield("?", option)
			case i+1 == len(spec) || spec[i+1] != ':':
				more = yield(option, "")
			case len(arg) > 1:
				more = yield(option, arg[1:])
				return more
			default:
				pending = option
				return true
			}
			if !more {
				return false
			}
		}
		return true
	})
	if ok && more && pending != "" {
		yield(missing, pending)
	}
	return ok
}
