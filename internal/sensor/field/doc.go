// Package field is the catalogue of fields: the facts about an event for rules
// and output templates. It maps a name to a type, a text for people, and a
// getter that reads the value from an event and the process table.
//
// Conditions (filter), documentation (--list) and output templates (alert) are
// all driven by this one catalogue.
package field
