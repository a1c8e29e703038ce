// Package explain answers questions about rules: what parts a rule has and when
// each is known, whether it matched in a capture and, if not, which part was
// false, and what each rule costs.
//
// It looks at the same events, processes and conditions as the sensor, but
// takes the time and memory that explanations need.
package explain
