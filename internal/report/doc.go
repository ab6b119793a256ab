// Package report bounds what the CRI's lists, statuses and events show of one object, so that an
// object with much metadata cannot make an answer larger than its client can receive.
//
// Nothing here refuses anything: what containerd and CRI-O accept is accepted and kept whole.
// Only the report of it is cut off, with a note in the value that was cut off.
package report
