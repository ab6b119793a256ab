// Package budget is the one table of limits on foreign input: what an image, a registry, a pod
// or a client may make the daemon read, hold or do.
//
// Every parser of foreign data takes its limit from here, so that two places that read the same
// kind of data cannot disagree, and so that a reader sees all limits beside each other. Each
// constant names its unit, what exceeding it means for the caller, and, where there is one, the
// specification or the peer's value that it follows.
package budget
