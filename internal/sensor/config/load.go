package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"strings"
)

// Options says what to load.
type Options struct {
	// Path is the configuration file. Empty: DefaultPath if it exists,
	// otherwise the built-in defaults.
	Path string
	// Overrides are the values of -o, PATH=VALUE, in order.
	Overrides []string
	// RulesFiles, from -r, replace rules_files if there are any.
	RulesFiles []string
	// CRISockets, from --cri, replace the sockets of the engine cri.
	CRISockets []string
	// Files reads them; nil: one that remembers nothing.
	Files *Files
	// Env looks up environment variables; nil: the process's own.
	Env func(string) string
}

// Load reads and checks the configuration. The error joins all mistakes, an
// Issue each, so that one run shows all of them; warnings are in Config.Notes.
func Load(opt Options) (*Config, error) {
	if opt.Env == nil {
		opt.Env = os.Getenv
	}
	opt.Files.restart()
	t := newTree(opt.Env, opt.Files)
	files, err := t.readAll(opt)
	if err != nil {
		return nil, err
	}
	t.modernise()
	c := Default()
	d := decoder{tree: t}
	if d.structure(t.root, reflect.ValueOf(c).Elem(), ""); !t.spend(0) {
		return nil, fmt.Errorf("load configuration: %w", errTooMany)
	}
	if len(opt.RulesFiles) > 0 {
		c.RulesFiles = opt.RulesFiles
	}
	if cri := &c.Plugins.Container.Engines.CRI; len(opt.CRISockets) > 0 {
		cri.Enabled, cri.Sockets = true, opt.CRISockets
	}
	c.defaultOutput(t)
	c.check(t)
	c.Files, c.sums, c.reads = files, t.sums, opt.Files
	if c.Notes, err = split(t.issues); err != nil {
		return nil, err
	}
	return c, nil
}

// readAll fills the tree from the main file, its includes and the options.
func (t *tree) readAll(opt Options) ([]string, error) {
	path, err := mainFile(opt.Path)
	if err != nil {
		return nil, err
	}
	var files []string
	if path != "" {
		if t.root, err = t.readFile(path); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("load configuration: %w; correct the path, or leave out -c for the defaults", err)
			}
			return nil, fmt.Errorf("load configuration: %w", err)
		}
		files = append(files, path)
	}
	// Options that choose files come first, the others after all files.
	var late []string
	for _, o := range opt.Overrides {
		if !strings.HasPrefix(o, "config_files") {
			late = append(late, o)
		} else if err := t.override(o); err != nil {
			return nil, err
		}
	}
	included, err := t.include(path)
	if err != nil {
		return nil, err
	}
	for _, o := range late {
		if err := t.override(o); err != nil {
			return nil, err
		}
	}
	return append(files, included...), nil
}

func mainFile(path string) (string, error) {
	if path != "" {
		return path, nil
	}
	_, err := os.Stat(DefaultPath)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return DefaultPath, err
}

// defaultOutput switches standard output on if nothing chose a channel, and
// off if the files chose another and did not speak of it.
func (c *Config) defaultOutput(t *tree) {
	if find(t.root, "stdout_output.enabled") == nil {
		c.Stdout.Enabled = !(c.Syslog.Enabled || c.File.Enabled || c.HTTP.Enabled || c.Program.Enabled || c.GRPCOutput.Enabled)
	}
}

// ExpandRulesFiles is rules_files with each directory replaced by its YAML
// files in lexical order. Paths that do not exist are left out and returned
// apart; an error says that none is left of those that were given.
func (c *Config) ExpandRulesFiles() (files, missing []string, err error) {
	for _, path := range c.RulesFiles {
		below, err := c.reads.Below(path)
		if err != nil {
			return nil, nil, fmt.Errorf("rules_files: %w", err)
		}
		if _, err := os.Stat(path); err != nil {
			missing = append(missing, path)
		}
		files = append(files, below...)
	}
	if len(c.RulesFiles) > 0 && len(files) == 0 {
		return nil, missing, fmt.Errorf("rules_files: none of %s has a rules file; correct the paths, or remove the key to use the rules inside the binary", strings.Join(c.RulesFiles, ", "))
	}
	return files, missing, nil
}

// RulesFilesOf are the rules files that the paths stand for: a file as it is, a
// directory for the YAML files in it, and, as in Falco, a path that does not
// exist for the paths that its commas separate. The error names those that do
// not exist.
func RulesFilesOf(paths []string) ([]string, error) {
	var files []string
	for _, path := range paths {
		parts := []string{path}
		if _, err := os.Stat(path); err != nil {
			parts = strings.Split(path, ",")
		}
		for _, part := range parts {
			below, err := filesBelow(part)
			if err == nil && len(below) == 0 {
				_, err = os.Stat(part)
			}
			if err == nil && len(below) == 0 {
				err = fmt.Errorf("%s has no files named *.yaml or *.yml", part)
			}
			if err != nil {
				return nil, err
			}
			files = append(files, below...)
		}
	}
	return files, nil
}

// Sum is the SHA-256, in hex, of a configuration file as it was read; empty
// for one that was not.
func (c *Config) Sum(path string) string { return c.sums[path] }

// MaxRulesFile bounds a rules file; the longest known have a tenth of it.
const MaxRulesFile = 8 << 20

// ReadRules reads a rules file.
func (c *Config) ReadRules(path string) ([]byte, error) { return c.reads.Read(path, MaxRulesFile) }
