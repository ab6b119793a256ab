// Package lifecycle is what all recorded objects have in common: pods, containers, and whatever comes next.
//
// An object is known before its first effect, is looked up by its ID, and is found again by what a client's request
// for it says, so that a retry joins the first try. Its record in containerd's database is written before the first
// effect and deleted after the last. The parts of this package follow that life:
//
//   - [Work] is what goes on: calls that retries join, each with an end of its own; what goes on without a call; and the
//     end of both when the daemon ends.
//   - [Book] holds the objects, by ID and by the key of the request.
//   - [State] is one object's record, in memory and in the database.
//   - [Settle] makes an object go whose record may never have been written.
//   - [Each] and [Unrecorded] are for the start of the daemon: they look at all objects, and find directories that a crash
//     left without a record.
//
// What an object is made of is not here: that is a plan of effects (package effect).
package lifecycle
