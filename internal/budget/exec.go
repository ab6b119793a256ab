package budget

// The output of commands that ExecSync runs. What a command writes beyond these bounds is read
// and dropped; the exit code is right all the same, and the end of stderr says how much is missing.
const (
	// ExecAnswer bounds stdout and stderr of one ExecSync together, in bytes, so that the answer
	// fits into a message with its note about missing output. containerd keeps 16 MiB of each
	// stream, whose answer then exceeds what its clients take.
	ExecAnswer = Message - 64<<10

	// ExecOutputs bounds the output that all ExecSync calls hold at a time, in bytes, beyond
	// ExecOwn for each stream of each call.
	ExecOutputs = 64 << 20

	// ExecOwn is how much of each stream a call keeps however much others hold, in bytes, in pieces of 4
	// and 64 KiB: six
	// times what the kubelet looks at of a probe's output (10 KiB).
	ExecOwn = 68 << 10
)
