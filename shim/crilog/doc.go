// Package crilog writes container logs in the format the kubelet reads (the CRI logging format):
//
//	2026-01-02T03:04:05.678901234Z stdout F a whole line
//	2026-01-02T03:04:05.678901235Z stderr P the beginning of a long line
//
// Every entry is a timestamp, the stream, a tag and the payload. P marks an entry that the next one
// of the same stream continues; the payloads of P, P, F with the F's newline are one line of the
// container. Output that ends without a newline is a last P entry, so that a reader gets exactly the
// bytes the container wrote.
//
// A File is shared by the streams of one container. It never blocks on anything but the disk and
// never fails its writers: what cannot be written is counted, and noted in the log as soon as
// writing works again.
package crilog
