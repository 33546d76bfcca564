//go:build race

package probes

// The race detector makes trials several times slower.
const trialsInTests = 400
