//go:build !race

package probes

const trialsInTests = 2000
