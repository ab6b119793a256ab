// Package critest runs the CRI validation suite (critest) against a runtime and
// judges the result: which tests passed, failed and were skipped, and which of
// those outcomes the machine explains.
package critest
