// Package explain answers questions about rules: what does a rule consist of
// and when is each part of it known, did it match in a capture and if not
// which part was false, and what does each rule cost.
//
// It looks at the same events, processes and conditions as the sensor, but
// takes the time and memory that explanations need.
package explain
