//go:build race

package probes

// Fewer than without the race detector, because it makes trials several times slower.
const trialsInTests = 400
