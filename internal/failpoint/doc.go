// Package failpoint breaks the daemon at a named place, for tests.
//
// A point is a boundary between two effects. Points of operations that are plans
// (package steps) follow from the plans; others are enumerated by the packages that
// have them. All are compiled in and inert: while nothing is armed, reaching a point
// costs one atomic load.
//
// Points are armed at start from the environment variable [Env] and at run time
// through the daemon's debug socket, see [Set.Handler]; both are root's alone.
//
//	BERTH_FAILPOINTS='RunPodSandbox/network/do/after=kill' berthd
package failpoint
