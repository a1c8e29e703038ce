package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/peregrine-sec/peregrine/internal/sensor/rules"
)

// listPlugins is --list-plugins: the plugins of Falco whose work the sensor
// does itself, as Falco lists those that it has loaded.
func listPlugins(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%d Plugins Loaded:\n\n", len(rules.BuiltinPlugins))
	for _, p := range rules.BuiltinPlugins {
		if err == nil {
			err = writePlugin(w, p)
		}
	}
	return err
}

// pluginInfo is --plugin-info NAME.
func pluginInfo(w io.Writer, name string) error {
	var names []string
	for _, p := range rules.BuiltinPlugins {
		if p.Name == name {
			return writePlugin(w, p)
		}
		names = append(names, p.Name)
	}
	return fmt.Errorf("--plugin-info %s: plugin not found; plugins are built in, not loaded: %s", name, strings.Join(names, ", "))
}

func writePlugin(w io.Writer, p rules.Plugin) error {
	_, err := fmt.Fprintf(w, "Name: %s\nDescription: built into the sensor, with the fields of Falco's plugin\nVersion: %s\n\n", p.Name, p.Version)
	return err
}
