package cli

import (
	"regexp"
	"strings"
)

// urlPassword is the password in a URL, also in one that is part of an argument.
var urlPassword = regexp.MustCompile(`(://[^/?#:@\s]*:)[^/?#@\s]*@`)

// secretFlags are those whose value is a secret: kubectl's.
var secretFlags = []string{"--token", "--password"}

// recorded is a command line as reports store it, without its secrets.
// The placeholder is that of url.URL's Redacted.
func recorded(args []string) []string {
	const hidden = "xxxxx"
	kept := []string{"peregrine"}
	secret := false // the argument is the value of the flag before
	for _, arg := range args {
		arg = urlPassword.ReplaceAllString(arg, "${1}"+hidden+"@")
		if secret {
			arg = hidden
		}
		secret = false
		for _, flag := range secretFlags {
			switch {
			case arg == flag:
				secret = true
			case strings.HasPrefix(arg, flag+"="):
				arg = flag + "=" + hidden
			}
		}
		kept = append(kept, arg)
	}
	return kept
}

// withoutOut leaves out where a run was kept: there, none can be kept again.
func withoutOut(args []string) []string {
	var kept []string
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "--":
			return append(kept, args[i:]...)
		case arg == "--out", arg == "--out-dir", arg == "-o":
			i++
		case strings.HasPrefix(arg, "--out="), strings.HasPrefix(arg, "--out-dir="), strings.HasPrefix(arg, "-o") && !strings.HasPrefix(arg, "--"):
		default:
			kept = append(kept, arg)
		}
	}
	return kept
}
